/**
 * A WebGPU device: how to get one, what it can do, and what it says when something fails. Nothing
 * here needs WebGPU's globals, which Node does not have.
 */
import {
  BackendUnavailableError,
  DeviceLostError,
  GpuError,
  type GpuErrorKind,
} from "../../errors.ts";
import { show } from "../../show.ts";
import { gpuOfHost } from "./host.ts";

/** `GPUBufferUsage`. */
export const usage = {
  mapRead: 0x1,
  copySource: 0x4,
  copyTarget: 0x8,
  uniform: 0x40,
  storage: 0x80,
  indirect: 0x100,
  queryResolve: 0x200,
} as const;
/** `GPUMapMode.READ`. */
export const MAP_MODE_READ = 0x1;
/** `GPUShaderStage.COMPUTE`. */
export const STAGE_COMPUTE = 0x4;

export interface DeviceOptions {
  /** Default `navigator.gpu`. In Node, the object that the package `webgpu` makes. */
  gpu?: GPU;
  /** A device to use instead of a new one. It is never destroyed here. */
  device?: GPUDevice;
  /** Default "high-performance". */
  powerPreference?: GPUPowerPreference;
  /** "default" keeps to the limits that every implementation has; by default, all that the adapter has. */
  limits?: "adapter" | "default";
}

/** The adapter as far as it tells; Safari and others leave fields out or empty. */
export interface AdapterDescription {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** Whether it runs on the CPU, and so is no faster than WebAssembly. */
  readonly software: boolean;
  /** All of this in a few words. */
  readonly name: string;
}

export interface DeviceLimits {
  /** Largest part of a buffer that one storage binding shows. */
  readonly maxBindingBytes: number;
  readonly maxBufferBytes: number;
  /** Largest number of invocations in a workgroup, all along x. */
  readonly maxInvocations: number;
  /** Workgroup memory, in bytes. */
  readonly maxWorkgroupStorage: number;
  /** Workgroups in each dimension of a dispatch. */
  readonly maxWorkgroups: number;
  /** Storage buffers that one shader may bind. */
  readonly maxStorageBuffers: number;
}

const requestedLimits = [
  "maxStorageBufferBindingSize",
  "maxBufferSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxStorageBuffersPerShaderStage",
] as const;
const wantedFeatures = ["subgroups", "timestamp-query"] as const;
/** In the order of the scopes, inner last: a buffer that was not made makes its uses invalid. */
const errorKinds = ["validation", "internal", "out-of-memory"] as const;
/** Operations may fail because the device is lost a moment before the loss is told. */
const LOSS_DELAY = 100;

/**
 * @throws TypeError for a `gpu` or `device` that is none; `BackendUnavailableError` when there is no
 * WebGPU, no adapter or no device.
 */
export async function openDevice(options: DeviceOptions = {}): Promise<GpuDevice> {
  const { device: given } = options;
  if (given === undefined) return requestDevice(options);
  if (typeof given?.createComputePipelineAsync !== "function") {
    throw new TypeError(`device: expected a GPUDevice, got ${show(given)}`);
  }
  return whenLive(new GpuDevice(given, null, given.adapterInfo));
}

async function requestDevice(options: DeviceOptions): Promise<GpuDevice> {
  const { powerPreference = "high-performance", limits = "adapter" } = options;
  const gpu = options.gpu === undefined ? gpuOfHost() : options.gpu;
  if (typeof gpu?.requestAdapter !== "function") {
    throw new TypeError(`gpu: expected an object like navigator.gpu, got ${show(gpu)}`);
  }
  let adapter: GPUAdapter | null;
  try {
    adapter = await gpu.requestAdapter({ powerPreference });
  } catch (error) {
    throw unavailable(`the request for an adapter failed: ${messageOf(error)}`);
  }
  if (!adapter) throw unavailable("there is WebGPU, but no adapter: no GPU that it may use");
  const requiredLimits: Record<string, number> = {};
  if (limits === "adapter") {
    for (const name of requestedLimits) requiredLimits[name] = adapter.limits[name];
  }
  const requiredFeatures = wantedFeatures.filter((name) => adapter.features.has(name));
  let device: GPUDevice;
  try {
    device = await adapter.requestDevice({ label: "antler", requiredLimits, requiredFeatures });
  } catch (error) {
    throw unavailable(`the adapter gives no device: ${messageOf(error)}`);
  }
  return whenLive(new GpuDevice(device, gpu, adapter.info ?? device.adapterInfo, adapter));
}

/** A device may be lost from the start: that is how an adapter refuses. */
async function whenLive(gpu: GpuDevice): Promise<GpuDevice> {
  const loss = await Promise.race([gpu.device.lost, undefined]);
  if (loss) throw unavailable(`the device is lost: ${loss.message || loss.reason}`);
  return gpu;
}

function unavailable(reason: string): BackendUnavailableError {
  return new BackendUnavailableError("webgpu", reason);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Old implementations tell it on the adapter, new ones in its `info`. */
type OldAdapter = GPUAdapter & { isFallbackAdapter?: boolean };

function describe(
  info: Partial<GPUAdapterInfo>,
  adapter: OldAdapter | undefined,
): AdapterDescription {
  const { vendor = "", architecture = "", device = "", description = "" } = info;
  const software =
    info.isFallbackAdapter === true ||
    adapter?.isFallbackAdapter === true ||
    /swiftshader|llvmpipe|lavapipe|software|basic render/i.test(
      [vendor, architecture, device, description].join(" "),
    );
  const hardware = description || [vendor, architecture].filter(Boolean).join(" ") || "unknown";
  const name = software ? `${hardware} (in software, on the CPU)` : hardware;
  return { vendor, architecture, description, software, name };
}

/** Use `openDevice`. */
export class GpuDevice {
  readonly device: GPUDevice;
  /** Whether `dispose` destroys the device. */
  readonly owned: boolean;
  readonly limits: DeviceLimits;
  /** Smallest and largest size of a subgroup; null without the feature. */
  readonly subgroups: { readonly min: number; readonly max: number } | null;
  /** Whether passes can be timed. */
  readonly timestamps: boolean;
  readonly adapter: AdapterDescription;
  /** Where a device of our own comes from: held, since in Node a collected one takes its devices along. */
  source: GPU | null;
  /** Why nothing can be done any more. */
  #ended: Error | null = null;
  /** An error that no scope caught. */
  #uncaptured: GpuError | null = null;
  readonly #waiting = new Set<(reason: Error) => void>();

  /** @param source null for a device of the user's */
  constructor(
    device: GPUDevice,
    source: GPU | null,
    info: Partial<GPUAdapterInfo> | undefined,
    adapter?: OldAdapter,
  ) {
    this.device = device;
    this.owned = source !== null;
    this.source = source;
    this.adapter = describe(info ?? {}, adapter);
    const { limits, features } = device;
    this.limits = {
      maxBindingBytes: limits.maxStorageBufferBindingSize,
      maxBufferBytes: limits.maxBufferSize,
      maxInvocations: Math.min(
        limits.maxComputeInvocationsPerWorkgroup,
        limits.maxComputeWorkgroupSizeX,
      ),
      maxWorkgroupStorage: limits.maxComputeWorkgroupStorageSize,
      maxWorkgroups: limits.maxComputeWorkgroupsPerDimension,
      maxStorageBuffers: limits.maxStorageBuffersPerShaderStage,
    };
    this.subgroups = features.has("subgroups")
      ? { min: info?.subgroupMinSize || 4, max: info?.subgroupMaxSize || 128 }
      : null;
    this.timestamps = features.has("timestamp-query");
    device.lost.then(({ message, reason }) => this.#end(new DeviceLostError(message || reason)));
    // On a device of the user's, an error that no scope caught may be anybody's.
    if (this.owned) device.addEventListener("uncapturederror", this.#remember);
  }

  /** Whether the device is neither lost nor disposed of. */
  get live(): boolean {
    return this.#ended === null;
  }

  /**
   * @throws `DeviceLostError`; `GpuError` once for an error outside `guarded` (on a device of our own:
   * on one of the user's, keep to `guarded`); Error after `dispose`.
   */
  check(): void {
    if (this.#ended) throw this.#ended;
    const error = this.#uncaptured;
    this.#uncaptured = null;
    if (error) throw error;
  }

  /** Waits for a promise of WebGPU's. @throws `DeviceLostError` as soon as the device is lost, too. */
  race<T>(promise: PromiseLike<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      // Not Promise.race with `lost`: that would hold on to every promise as long as the device lives.
      const settle = (action: () => void) => {
        this.#waiting.delete(reject);
        action();
      };
      if (this.#ended) reject(this.#ended);
      else this.#waiting.add(reject);
      promise.then(
        (value) => settle(() => resolve(value)),
        async (error) => {
          await this.#untilLossIsKnown(error);
          settle(() => reject(error));
        },
      );
    });
  }

  /**
   * Runs `work` and waits until WebGPU has judged it. Whatever can fail must be called before `work`
   * first awaits anything, so that the error scopes of concurrent calls do not mix.
   *
   * @param label what is being done, for the message
   * @throws `GpuError`, out-of-memory before its consequences; `DeviceLostError`; what `work` throws.
   */
  async guarded<T>(label: string, work: () => T | PromiseLike<T>): Promise<T> {
    if (this.#ended) throw this.#ended;
    const { device } = this;
    for (const kind of errorKinds) device.pushErrorScope(kind);
    const outcome = new Promise<T>((resolve) => resolve(work()));
    const scopes = errorKinds.map(() => device.popErrorScope()).reverse();
    outcome.catch(() => {});
    const errors = await this.race(Promise.all(scopes));
    for (let i = errors.length - 1; i >= 0; i--) {
      const error = errors[i];
      if (error) throw new GpuError(errorKinds[i], label, error.message);
    }
    try {
      return await this.race(outcome);
    } catch (error) {
      const { reason, message } = (error ?? {}) as { reason?: unknown; message?: string };
      // A GPUPipelineError, the one kind of error that does not go to the scopes.
      const isKind = reason === "validation" || reason === "internal";
      throw isKind ? new GpuError(reason, label, message ?? "") : error;
    }
  }

  /** Fails what is pending, and destroys the device if it is not the user's. */
  dispose(): void {
    this.#end(new Error("webgpu: expected a live device, got a disposed one"));
    this.#uncaptured = null;
    if (this.owned) {
      this.device.removeEventListener("uncapturederror", this.#remember);
      this.device.destroy();
    }
    this.source = null;
  }

  #end(reason: Error): void {
    this.#ended ??= reason;
    for (const reject of this.#waiting) reject(this.#ended);
    this.#waiting.clear();
  }

  readonly #remember = ({ error }: GPUUncapturedErrorEvent): void => {
    this.#uncaptured ??= new GpuError(kindOf(error), "an earlier call", error.message);
  };

  async #untilLossIsKnown(error: unknown): Promise<void> {
    const { name } = (error ?? {}) as { name?: string };
    if (this.#ended || (name !== "AbortError" && name !== "OperationError")) return;
    await Promise.race([
      this.device.lost,
      new Promise((resolve) => setTimeout(resolve, LOSS_DELAY)),
    ]);
  }
}

/** By name, since the classes are no globals in Node. */
function kindOf(error: GPUError): GpuErrorKind {
  const { name } = error.constructor;
  if (name === "GPUOutOfMemoryError") return "out-of-memory";
  return name === "GPUInternalError" ? "internal" : "validation";
}
