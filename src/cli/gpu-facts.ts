/** What there is to know of an adapter, and whether it computes what it should. */
import { createRuntime } from "../index.ts";
import type { Gpu } from "../types.ts";
import { type SelfTestResult, selfTest } from "./self-test.ts";

export interface GpuFacts {
  readonly adapter: {
    readonly vendor: string;
    readonly architecture: string;
    readonly device: string;
    readonly description: string;
    /** Whether it is no GPU at all but a program that imitates one. */
    readonly software: boolean;
  };
  readonly limits: Readonly<Record<string, number>>;
  readonly features: readonly string[];
  /** Invocations in a subgroup; null without the feature. */
  readonly subgroups: { readonly min: number; readonly max: number } | null;
  readonly selfTest?: SelfTestResult;
}

/** As far as it tells; some implementations leave fields out. */
interface Adapter {
  readonly info?: Partial<Record<string, string | number>>;
  readonly limits: object;
  readonly features: Iterable<string>;
}

/** @throws Error where there is no adapter, or it gives no device. */
export async function factsOf(gpu: Gpu, withSelfTest: boolean): Promise<GpuFacts> {
  const powerPreference = "high-performance";
  const adapter = (await gpu.requestAdapter({ powerPreference })) as Adapter | null;
  if (!adapter) throw new Error("there is WebGPU, but no adapter: no GPU that it may use");
  const limits: Record<string, number> = {};
  // They are getters of the prototype.
  for (const name in adapter.limits) {
    const value = (adapter.limits as Record<string, unknown>)[name];
    if (typeof value === "number") limits[name] = value;
  }
  const { vendor, architecture, device, description } = adapter.info ?? {};
  const features = [...adapter.features].sort();
  const { subgroupMinSize: min, subgroupMaxSize: max } = adapter.info ?? {};
  const runtime = await createRuntime({ backend: "webgpu", gpu });
  try {
    const status = runtime.backends.find(({ name }) => name === "webgpu");
    const tested = withSelfTest ? await selfTest(runtime, "webgpu") : undefined;
    return {
      adapter: {
        vendor: String(vendor ?? ""),
        architecture: String(architecture ?? ""),
        device: String(device ?? ""),
        description: String(description ?? ""),
        software: status?.adapter?.software ?? false,
      },
      limits,
      features,
      subgroups: features.includes("subgroups") ? { min: Number(min), max: Number(max) } : null,
      ...(tested && { selfTest: tested }),
    };
  } finally {
    runtime.dispose();
  }
}
