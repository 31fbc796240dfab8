/** Machines for tests of `auto`: backends that take as long as they are told to, by a clock of their own. */

import { type HostRates, nominalRates, predict } from "../../src/auto/calibration.ts";
import { type DeviceRates, deviceTime, nominalDeviceRates } from "../../src/auto/device.ts";
import { cellWork } from "../../src/auto/work.ts";
import type { DeviceBackend, DeviceRun, HostBackend } from "../../src/backend/backend.ts";
import { createWasmBackend } from "../../src/backend/wasm/backend.ts";
import { inlinedKernels } from "../../src/backend/wasm/inlined.ts";
import { lanesFor } from "../../src/backend/wasm/lanes.ts";

/** The plain WebAssembly backend, as a runtime has it. */
export function wasmBackend(): Promise<HostBackend> {
  const memoryLimit = 2 ** 31;
  return createWasmBackend({
    builtIn: inlinedKernels,
    source: undefined,
    reproducible: true,
    memoryLimit,
  });
}

export interface Machine {
  readonly backend: HostBackend;
  /** Milliseconds, to the clock's resolution. */
  readonly now: () => number;
  /** Calls of `sequential` so far. */
  readonly calls: () => number;
}

export interface MachineOptions {
  readonly rates?: HostRates;
  /** Milliseconds that a call takes beside its steps. */
  readonly overhead?: number;
  /** Milliseconds between the ticks of its clock; 0: it is exact. */
  readonly resolution?: number;
}

/** A machine with these rates, on which nothing is computed. */
export function machine(options: MachineOptions = {}): Machine {
  const { rates = nominalRates, overhead = 0.01, resolution = 0 } = options;
  let [time, calls] = [1000, 0];
  const backend: HostBackend = {
    kind: "host",
    name: "wasm",
    simd: "plain",
    unitRoundoff: 2 ** -24,
    allocate: (length) => new Float32Array(length),
    async sequential({ cell, sequences }) {
      const lanes = lanesFor(sequences.length, cell.stateSize);
      const lengths = sequences.map(({ length }) => length);
      const steps =
        lanes > 1 ? Math.max(...lengths) : lengths.reduce((sum, length) => sum + length, 0);
      time += overhead + predict({ rates }, cellWork(cell), steps, lanes) / 1e6;
      calls++;
      return { finite: true };
    },
    engine: () => {
      throw new Error("this machine has no engine");
    },
    release: () => {},
    dispose: () => {},
  };
  const now = () => (resolution > 0 ? Math.floor(time / resolution) * resolution : time);
  return { backend, now, calls: () => calls };
}

/** A GPU with these rates, on which nothing is computed. */
export function gpuMachine(rates: DeviceRates = nominalDeviceRates) {
  let time = 0;
  let released = 0;
  const backend: DeviceBackend = {
    kind: "device",
    name: "webgpu",
    unitRoundoff: 2 ** -24,
    device: null,
    async run({ cell, rows, chunk }, sequential) {
      const work = cellWork(cell);
      const shape = sequential ? { chunk: rows, sweeps: 0 } : { chunk, sweeps: 1 };
      time += deviceTime(rates, { work, step: work.step, rows, ...shape }) / 1e6;
      return {
        output: async () => ({ states: new Float32Array(0), finalStates: new Float32Array(0) }),
        release: () => {
          released++;
        },
      } as Partial<DeviceRun> as DeviceRun;
    },
    solve: () => Promise.reject(new Error("nothing is computed here")),
    warmup: async () => {},
    dispose: () => {},
  };
  return { backend, now: () => time, released: () => released };
}
