import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import {
  BigValueGraphMode,
  BigValueTextMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  type Panel,
  type Threshold,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  type ValueMapping,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { PanelBuilder as HeatmapBuilder, YAxisConfigBuilder } from '@grafana/grafana-foundation-sdk/heatmap';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as StatesBuilder } from '@grafana/grafana-foundation-sdk/statetimeline';
import { PanelBuilder as GraphBuilder } from '@grafana/grafana-foundation-sdk/timeseries';

/** Legends, which may have `{{labels}}`, and what they stand for. */
export type Queries = Readonly<Record<string, string>>;

export interface PanelSpec {
  readonly title: string;
  readonly queries: Queries;
  /** As Grafana names units: `s`, `bytes`, `eps`. */
  readonly unit: string;
  /** Of 24 columns. */
  readonly width: number;
  /** Default: what the first metric's help says. */
  readonly about?: string;
  /** Colours from these values on; the first has none. */
  readonly steps?: readonly (readonly [from: number | null, colour: string])[];
  readonly stacked?: boolean;
  readonly max?: number;
}

/** A panel that still lacks its id and its description. */
export interface Made {
  readonly spec: PanelSpec;
  readonly builder: Builder<Panel> & { id(id: number): unknown; description(text: string): unknown };
}

export const DATASOURCE = { type: 'prometheus', uid: '$datasource' };

const CALM = [[null, 'green']] as const;
const STAT_HEIGHT = 4;
const HEIGHT = 8;

function targets(queries: Queries, { instant = false, heatmap = false } = {}): DataqueryBuilder[] {
  return Object.entries(queries).map(([legend, expr], i) => {
    const query = new DataqueryBuilder()
      .refId(String.fromCharCode(65 + i))
      .expr(expr)
      .legendFormat(legend)
      .datasource(DATASOURCE);
    if (heatmap) query.format(PromQueryFormat.Heatmap);
    return instant ? query.instant() : query.range();
  });
}

function thresholds(steps: PanelSpec['steps'] = CALM): ThresholdsConfigBuilder {
  const list = steps.map(([value, color]): Threshold => ({ value, color }));
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(list);
}

/** The last value, large. `named`: with the legend of each. */
export function stat(spec: PanelSpec & { readonly named?: boolean }): Made {
  const builder = new StatBuilder()
    .title(spec.title)
    .datasource(DATASOURCE)
    .targets(targets(spec.queries, { instant: true }))
    .unit(spec.unit)
    .thresholds(thresholds(spec.steps))
    .graphMode(BigValueGraphMode.None)
    .textMode(spec.named === true ? BigValueTextMode.ValueAndName : BigValueTextMode.Auto)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']).values(false))
    .noValue('none')
    .span(spec.width)
    .height(STAT_HEIGHT);
  return { spec, builder };
}

/** Lines over time. */
export function graph(spec: PanelSpec): Made {
  const builder = new GraphBuilder()
    .title(spec.title)
    .datasource(DATASOURCE)
    .targets(targets(spec.queries))
    .unit(spec.unit)
    .min(0)
    .thresholds(thresholds(spec.steps))
    .fillOpacity(spec.stacked === true ? 30 : 8)
    .stacking(
      new StackingConfigBuilder().mode(spec.stacked === true ? StackingMode.Normal : StackingMode.None),
    )
    .legend(legend())
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi))
    .span(spec.width)
    .height(HEIGHT);
  if (spec.max !== undefined) builder.max(spec.max);
  return { spec, builder };
}

/** What something was, over time: each value has a word and a colour. */
export function states(
  spec: Omit<PanelSpec, 'unit'> & { readonly words: Readonly<Record<string, readonly [string, string]>> },
): Made {
  const entries = Object.entries(spec.words).map(([value, [text, color]], index) => [
    value,
    { text, color, index },
  ]);
  const mappings = [{ type: 'value', options: Object.fromEntries(entries) }] as ValueMapping[];
  const builder = new StatesBuilder()
    .title(spec.title)
    .datasource(DATASOURCE)
    .targets(targets(spec.queries))
    .mappings(mappings)
    .thresholds(thresholds(spec.steps))
    .legend(legend())
    .span(spec.width)
    .height(HEIGHT);
  return { spec: { ...spec, unit: 'short' }, builder };
}

/** How many observations fell into each bucket, over time. */
export function heatmap(spec: PanelSpec): Made {
  const builder = new HeatmapBuilder()
    .title(spec.title)
    .datasource(DATASOURCE)
    .targets(targets(spec.queries, { heatmap: true }))
    .calculate(false)
    .yAxis(new YAxisConfigBuilder().unit(spec.unit))
    .span(spec.width)
    .height(HEIGHT);
  return { spec, builder };
}

function legend(): VizLegendOptionsBuilder {
  return new VizLegendOptionsBuilder()
    .displayMode(LegendDisplayMode.List)
    .placement(LegendPlacement.Bottom)
    .showLegend(true);
}

export interface Row {
  readonly title: string;
  readonly panels: readonly Made[];
}

/** Of the oldest event that waits, in seconds: what the alerts call old, and very old. */
export const AGE_STEPS = [
  [null, 'green'],
  [60, 'yellow'],
  [300, 'red'],
] as const;
