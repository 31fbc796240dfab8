/**
 * Counts what shaders load and store, by running them: every module gets counters for its accesses to
 * storage buffers and for the dispatches that had work. Counts are exact on any adapter, times are not.
 */

/** What one kernel did. */
export interface KernelCount {
  readonly label: string;
  /** Dispatches of at least one workgroup. */
  readonly dispatches: number;
  readonly buffers: ReadonlyMap<string, BufferCount>;
}

/** Loads and stores of one buffer, with the bytes that they ask for. */
export interface BufferCount {
  loads: number;
  stores: number;
  bytesLoaded: number;
  bytesStored: number;
}

/** An access in a shader's text. */
interface Access {
  readonly buffer: string;
  readonly isStore: boolean;
  readonly bytes: number;
}

export interface CountedShader {
  readonly code: string;
  /** Counter `first` is that of the dispatches, the next ones those of the accesses, in their order. */
  readonly accesses: readonly Access[];
}

/** Of the array types that the shaders bind; a structure is as large as its fields, of four bytes each. */
const elementSizes: Readonly<Record<string, number>> = {
  f32: 4,
  u32: 4,
  "atomic<u32>": 4,
  vec2f: 8,
  vec2u: 8,
  vec4f: 16,
  vec4u: 16,
};

/**
 * The shader with a counter at every access to a storage buffer: `buffer[index]` becomes
 * `buffer[counted_n(index)]`.
 *
 * @param first the first of the shader's counters
 * @throws RangeError for an array of a type that is not known here
 */
export function countAccesses(code: string, first: number): CountedShader {
  const sizes = new Map<string, number>();
  const declaration = /var<storage(?:, ?read(?:_write)?)?> ?(\w+): ?array<(.+?)>;/g;
  for (const [, name, type] of code.matchAll(declaration)) {
    sizes.set(name!, elementSizes[type!] ?? sizeOfStructure(code, type!));
  }
  const accesses: Access[] = [];
  const rewrite = (text: string): string => {
    const found = new RegExp(`\\b(${[...sizes.keys()].join("|")})\\[`).exec(text);
    if (!found) return text;
    const open = found.index + found[0].length;
    const close = closingBracket(text, open);
    const after = text.slice(close + 1);
    const [, member = "", operator = ""] = /^(?:\.(\w+))?\s*([-+*/|&]?=(?!=))?/.exec(after)!;
    const whole = sizes.get(found[1]!)!;
    const isVector = whole <= 16;
    const bytes = member === "" ? whole : isVector ? 4 * member.length : 4;
    const buffer = found[1]!;
    const number = accesses.length;
    accesses.push({ buffer, isStore: operator !== "", bytes });
    const index = rewrite(text.slice(open, close));
    const head = `${text.slice(0, open)}counted_${number}(${index})`;
    return `${head}]${rewrite(after)}`;
  };
  const body = sizes.size > 0 ? rewrite(code) : code;
  const functions = accesses.map(
    (_, i) =>
      `fn counted_${i}(i: u32) -> u32 { atomicAdd(&counters[${first + 1 + i}u], 1u); return i; }`,
  );
  const thread = /@builtin\(local_invocation_index\) ?(\w+)/.exec(body)![1]!;
  const workgroup = /@builtin\(workgroup_id\) ?(\w+)/.exec(body)?.[1];
  const isFirst = workgroup === undefined ? "true" : `all(${workgroup} == vec3u())`;
  const main = /(fn main\([^{]*\{)/;
  const counting = `if (${thread} == 0u && ${isFirst}) { atomicAdd(&counters[${first}u], 1u); }`;
  return {
    accesses,
    code: [
      body.replace(main, `$1\n${counting}`),
      "@group(1) @binding(0) var<storage, read_write> counters: array<atomic<u32>>;",
      ...functions,
    ].join("\n"),
  };
}

function sizeOfStructure(code: string, name: string): number {
  const body = new RegExp(`struct ${name} ?\\{([^}]*)\\}`).exec(code)?.[1];
  const fields = body?.match(/\w+: ?(u32|f32),/g);
  if (!fields) throw new RangeError(`array<${name}>: expected a type of known size`);
  return 4 * fields.length;
}

function closingBracket(text: string, from: number): number {
  let depth = 1;
  let at = from;
  for (; depth > 0; at++) depth += text[at] === "[" ? 1 : text[at] === "]" ? -1 : 0;
  return at - 1;
}

const MOST_COUNTERS = 2 ** 14;
const STORAGE = 0x80 | 0x4 | 0x8;
const READBACK = 0x1 | 0x8;

interface CountedModule {
  readonly label: string;
  readonly first: number;
  readonly accesses: readonly Access[];
}

/** A device whose shaders count. Use `countingDevice`. */
export class CountingDevice {
  readonly #modules: CountedModule[] = [];
  readonly #counters: GPUBuffer;
  readonly #readback: GPUBuffer;
  readonly #newEncoder: () => GPUCommandEncoder;
  #used = 0;

  constructor(readonly device: GPUDevice) {
    const size = 4 * MOST_COUNTERS;
    this.#counters = device.createBuffer({ label: "counters", size, usage: STORAGE });
    this.#readback = device.createBuffer({ label: "counts", size, usage: READBACK });
    const layout = device.createBindGroupLayout({
      entries: [{ binding: 0, visibility: 0x4, buffer: { type: "storage" } }],
    });
    const group = device.createBindGroup({
      layout,
      entries: [{ binding: 0, resource: { buffer: this.#counters } }],
    });
    const createShaderModule = device.createShaderModule.bind(device);
    const createPipelineLayout = device.createPipelineLayout.bind(device);
    const createCommandEncoder = device.createCommandEncoder.bind(device);
    this.#newEncoder = () => createCommandEncoder();
    device.createShaderModule = (descriptor) => {
      const { label = "", code } = descriptor;
      const counted = countAccesses(code, this.#used);
      this.#modules.push({ label, first: this.#used, accesses: counted.accesses });
      this.#used += counted.accesses.length + 1;
      if (this.#used > MOST_COUNTERS) throw new RangeError("counters: too many shaders");
      return createShaderModule({ ...descriptor, code: counted.code });
    };
    device.createPipelineLayout = (descriptor) =>
      createPipelineLayout({
        ...descriptor,
        bindGroupLayouts: [...descriptor.bindGroupLayouts, layout],
      });
    device.createCommandEncoder = (descriptor) => {
      const encoder = createCommandEncoder(descriptor);
      const beginComputePass = encoder.beginComputePass.bind(encoder);
      encoder.beginComputePass = (pass) => {
        const begun = beginComputePass(pass);
        begun.setBindGroup(1, group);
        return begun;
      };
      return encoder;
    };
  }

  /** What has run since the last call; kernels that did not are left out. */
  async take(): Promise<KernelCount[]> {
    const { device } = this;
    const size = 4 * MOST_COUNTERS;
    const encoder = this.#newEncoder();
    encoder.copyBufferToBuffer(this.#counters, 0, this.#readback, 0, size);
    encoder.clearBuffer(this.#counters, 0, size);
    device.queue.submit([encoder.finish()]);
    await this.#readback.mapAsync(1);
    const counts = new Uint32Array(this.#readback.getMappedRange().slice(0));
    this.#readback.unmap();
    return this.#modules.flatMap(({ label, first, accesses }) => {
      const dispatches = counts[first]!;
      if (dispatches === 0) return [];
      const buffers = new Map<string, BufferCount>();
      for (const [i, { buffer, isStore, bytes }] of accesses.entries()) {
        const empty = { loads: 0, stores: 0, bytesLoaded: 0, bytesStored: 0 };
        const count = buffers.get(buffer) ?? empty;
        const times = counts[first + 1 + i]!;
        if (isStore) {
          count.stores += times;
          count.bytesStored += times * bytes;
        } else {
          count.loads += times;
          count.bytesLoaded += times * bytes;
        }
        buffers.set(buffer, count);
      }
      return [{ label, dispatches, buffers }];
    });
  }
}

/**
 * A device of its own, all of whose shaders count from now on.
 *
 * @throws Error when the adapter has no room for one more binding than the library's kernels need.
 */
export async function countingDevice(gpu: GPU): Promise<CountingDevice> {
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error("gpu: expected an adapter, got none");
  const { limits } = adapter;
  if (limits.maxStorageBuffersPerShaderStage < 9) {
    throw new Error("gpu: expected an adapter with nine storage buffers a stage, got fewer");
  }
  const requiredLimits = {
    maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
    maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
    maxBufferSize: limits.maxBufferSize,
    maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
    maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
  };
  const requiredFeatures = (["subgroups"] as const).filter((name) => adapter.features.has(name));
  return new CountingDevice(await adapter.requestDevice({ requiredLimits, requiredFeatures }));
}
