// Writes deploy/grafana/postcommit.json anew: npm run dashboard
import { writeFileSync } from 'node:fs';
import { renderDashboard } from './dashboard.ts';

writeFileSync(new URL('../../deploy/grafana/postcommit.json', import.meta.url), await renderDashboard());
