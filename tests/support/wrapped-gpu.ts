/** A real GPU with some of its behaviour replaced: to look like hardware, to count, to fail on purpose. */

/**
 * `target` with other members. What is not replaced keeps its own `this`, on which native objects insist.
 */
export function replacing<T extends object>(
  target: T,
  members: Partial<Record<keyof T, unknown>>,
): T {
  return new Proxy(target, {
    get(object, key) {
      if (Object.hasOwn(members, key)) return members[key as keyof T];
      const value: unknown = Reflect.get(object, key, object);
      return typeof value === "function" ? value.bind(object) : value;
    },
  });
}

export interface Replacements {
  /** What the adapter says of itself. */
  readonly info?: Partial<GPUAdapterInfo>;
  /** Members of each new device, which are told how many there were before. */
  readonly device?: (device: GPUDevice, index: number) => Partial<Record<keyof GPUDevice, unknown>>;
  /** Features that the adapter keeps to itself. */
  readonly without?: readonly string[];
}

/** How an adapter of a GPU describes itself. */
export const hardware = {
  vendor: "acme",
  architecture: "rasterizer-9",
  device: "",
  description: "Acme Rasterizer 9000",
  isFallbackAdapter: false,
} as const;

/** `gpu`, whose adapters and devices are other than they were. */
export function wrappedGpu(gpu: GPU, { info, device, without = [] }: Replacements): GPU {
  let devices = 0;
  const wrapAdapter = (adapter: GPUAdapter) =>
    replacing(adapter, {
      ...(info && { info, isFallbackAdapter: false }),
      features: new Set([...adapter.features].filter((feature) => !without.includes(feature))),
      requestDevice: async (descriptor?: GPUDeviceDescriptor) => {
        const made = await adapter.requestDevice(descriptor);
        return device ? replacing(made, device(made, devices++)) : made;
      },
    });
  return replacing(gpu, {
    requestAdapter: async (options?: GPURequestAdapterOptions) => {
      const adapter = await gpu.requestAdapter(options);
      return adapter && wrapAdapter(adapter);
    },
  });
}

/** A device whose submits call `hook` afterwards, with the number of submits before. */
export function onSubmit(
  device: GPUDevice,
  hook: (index: number) => void,
): Partial<Record<keyof GPUDevice, unknown>> {
  let submits = 0;
  const queue = replacing(device.queue, {
    submit: (commands: Iterable<GPUCommandBuffer>) => {
      device.queue.submit([...commands]);
      hook(submits++);
    },
  });
  return { queue };
}

export interface BufferWatch {
  /** What has been created and not destroyed. */
  readonly live: ReadonlySet<GPUBuffer>;
  readonly bytes: number;
  readonly created: number;
}

/** A device that keeps account of its buffers. */
export function watchBuffers(device: GPUDevice): {
  readonly members: Partial<Record<keyof GPUDevice, unknown>>;
  readonly watch: BufferWatch;
} {
  const live = new Set<GPUBuffer>();
  let created = 0;
  const createBuffer = (descriptor: GPUBufferDescriptor) => {
    const buffer = device.createBuffer(descriptor);
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      live.delete(buffer);
      return destroy();
    };
    live.add(buffer);
    created++;
    return buffer;
  };
  const watch = {
    live,
    get bytes() {
      return [...live].reduce((sum, { size }) => sum + size, 0);
    },
    get created() {
      return created;
    },
  };
  return { members: { createBuffer }, watch };
}

/** A device of the user's, in its own name, on the adapter's default limits. */
export async function rawDevice(gpu: GPU, descriptor?: GPUDeviceDescriptor): Promise<GPUDevice> {
  const adapter = await gpu.requestAdapter();
  return adapter!.requestDevice(descriptor);
}
