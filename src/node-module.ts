/** Modules of Node, without an import that bundlers for pages would stumble over. */
interface NodeHost {
  readonly process?: { getBuiltinModule?(name: string): unknown };
}

/** @returns undefined in other hosts, and in Node before 20.16 and 22.3. */
export function nodeModule<Module>(name: string): Module | undefined {
  return (globalThis as NodeHost).process?.getBuiltinModule?.(`node:${name}`) as Module | undefined;
}
