/** The buffers that shaders bind, by name. */

/** "read" and "write" are storage buffers, read-only or not. */
export type BindingKind = "uniform" | "read" | "write";

/** A binding of group 0; its number is its position in the list. */
export interface Binding {
  readonly name: string;
  readonly kind: BindingKind;
}

const uniforms: Readonly<Record<string, string>> = {
  problem: "Problem",
  slice: "Slice",
  level: "Level",
};

/** What they are in WGSL, unless array<f32>. */
const elements: Readonly<Record<string, string>> = {
  control: "Sequence",
  bounds: "vec2f",
  measures: "vec4u",
  errorMeasures: "vec4u",
  errorBoundaries: "vec4f",
  tiles: "vec4u",
  planned: "vec4u",
  dispatches: "vec4u",
  trace: "vec2u",
  spoiled: "atomic<u32>",
};

const spaces = { uniform: "uniform", read: "storage, read", write: "storage, read_write" };

/** @param read names of uniforms and of buffers that are only read, and @param write of the others. */
export function bindingsOf(read: readonly string[], write: readonly string[]): Binding[] {
  return [
    ...read.map((name) => ({ name, kind: name in uniforms ? "uniform" : "read" }) as const),
    ...write.map((name) => ({ name, kind: "write" }) as const),
  ];
}

/** The section `bindings` of a shader. */
export function declarations(bindings: readonly Binding[]): string {
  return bindings
    .map(({ name, kind }, number) => {
      const type = uniforms[name] ?? `array<${elements[name] ?? "f32"}>`;
      return `@group(0) @binding(${number}) var<${spaces[kind]}> ${name}: ${type};`;
    })
    .join("\n");
}
