// Copies Prometheus's rules into the object that the Prometheus operator reads, which kustomize cannot do by itself.
// A test fails while the two differ.
import { readFileSync, writeFileSync } from 'node:fs';
import { parse, stringify } from 'yaml';

const from = 'deploy/prometheus/postcommit.rules.yml';
const to = 'deploy/kubernetes/components/monitoring/prometheus-rule.yaml';
const root = new URL('../', import.meta.url);

const rule = {
  apiVersion: 'monitoring.coreos.com/v1',
  kind: 'PrometheusRule',
  metadata: { name: 'postcommit', labels: { 'app.kubernetes.io/name': 'postcommit' } },
  spec: parse(readFileSync(new URL(from, root), 'utf8')),
};
const head = `# Copied from ${from} by \`npm run prometheus-rule\`: change it there.\n`;
// Literal, not folded: two parsers disagree on blank lines in folded text.
writeFileSync(new URL(to, root), head + stringify(rule, { lineWidth: 0, blockQuote: 'literal' }));
