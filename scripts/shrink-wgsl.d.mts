/** Names that the host knows, and so must stay. */
export interface HostNames {
  readonly names: ReadonlySet<string>;
  /** Those that code may write, and so name what is declared in a function. */
  readonly code: ReadonlySet<string>;
  /** How names begin that the host completes, such as `start_`; and how they end, such as `_now`. */
  readonly prefixes: readonly string[];
  readonly suffixes: readonly string[];
}

/** All names that TypeScript sources may write into a shader, or look for in one. */
export function hostNames(sources: readonly string[]): HostNames;

/**
 * @param shaders WGSL by path, as in gpu/
 * @param host null to leave lines and names as they are
 * @throws Error where braces do not pair up, say because one branch of a condition opens one
 */
export function shrinkShaders(
  shaders: Readonly<Record<string, string>>,
  host: HostNames | null,
): Record<string, string>;
