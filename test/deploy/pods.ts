import { type Manifest, only } from './manifests.ts';

/** The one container of a Deployment or Job. */
// biome-ignore lint/suspicious/noExplicitAny: checked against the schema of its kind.
export function containerOf(owner: Manifest): any {
  const { containers } = owner.spec.template.spec;
  if (containers.length !== 1) throw new Error(`${owner.metadata.name} has ${containers.length} containers`);
  return containers[0];
}

/** Its variables: those of the ConfigMaps, and its own over them. */
export function environmentOf(owner: Manifest, manifests: readonly Manifest[]): Record<string, string> {
  const { envFrom = [], env } = containerOf(owner);
  const shared = envFrom.map(({ configMapRef }: { configMapRef: { name: string } }) =>
    Object.entries(only(manifests, 'ConfigMap', configMapRef.name).data as Record<string, string>),
  );
  const own = env.map(({ name, value }: { name: string; value: string }) => [name, value]);
  return Object.fromEntries([...shared.flat(), ...own]);
}

/** What it finds mounted, by path. */
export function mountedFiles(owner: Manifest, manifests: readonly Manifest[]): Map<string, string> {
  const files = new Map<string, string>();
  const { volumes } = owner.spec.template.spec;
  for (const { name, mountPath, readOnly } of containerOf(owner).volumeMounts) {
    if (readOnly !== true) throw new Error(`${mountPath} could be written to`);
    const { secret } = volumes.find((volume: { name: string }) => volume.name === name);
    const { data } = only(manifests, 'Secret', secret.secretName);
    for (const [key, value] of Object.entries(data as Record<string, string>))
      files.set(`${mountPath}/${key}`, Buffer.from(value, 'base64').toString('utf8').trim());
  }
  return files;
}
