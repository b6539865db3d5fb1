import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface DashboardPanel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
  readonly options?: { readonly yAxis?: { readonly unit?: string } };
}

export interface DashboardFile {
  readonly panels: readonly DashboardPanel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: string }[] };
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}

const PATH = join(import.meta.dirname, '..', '..', 'deploy', 'grafana', 'postcommit.json');

export const DASHBOARD_TEXT = readFileSync(PATH, 'utf8');
export const DASHBOARD = JSON.parse(DASHBOARD_TEXT) as DashboardFile;

export interface Query {
  readonly panel: string;
  readonly expr: string;
}

/** Of all panels. Titles come twice: the row stands before them. */
export function panelQueries(): Query[] {
  let row = '';
  return DASHBOARD.panels.flatMap(({ type, title, targets = [] }) => {
    if (type === 'row') row = title;
    return targets.map(({ expr }) => ({ panel: `${row}: ${title}`, expr }));
  });
}

/** As Grafana sends it, with everything selected. */
export function filledIn(expr: string): string {
  return expr.replaceAll(/\$__(?:rate_)?interval/g, '1m').replaceAll(/\$[a-z]+/g, '.*');
}
