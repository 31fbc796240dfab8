/** Shaders as they are written in gpu/, with the examples that stand for generated code. */
import { existsSync, readFileSync } from "node:fs";
import { shaders } from "../../src/backend/webgpu/generated/shaders.ts";
import { assembleShader, type ShaderParts } from "../../src/backend/webgpu/shader.ts";

/** As `assembleShader`; the build leaves the examples out. */
export function exampleShader(path: string, parts?: ShaderParts): string {
  const texts = shaders as Record<string, string>;
  const built = { ...texts };
  for (const path of Object.keys(built)) {
    const file = new URL(`../../gpu/${path}`, import.meta.url);
    if (existsSync(file)) texts[path] = readFileSync(file, "utf8");
  }
  try {
    return assembleShader(path, parts);
  } finally {
    Object.assign(texts, built);
  }
}
