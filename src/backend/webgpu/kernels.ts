/** All kernels of an evaluation: the cell's program and the method, for windows of any shape. */
import type { Cell } from "../../cell/define-cell.ts";
import { blockSize } from "../../cell/differentiate.ts";
import type { JacobianKind } from "../../types.ts";
import type { Job } from "../../validate.ts";
import { type Binding, bindingsOf, declarations } from "./bindings.ts";
import type { GpuDevice } from "./device.ts";
import type { Window } from "./plan.ts";
import {
  type CompiledCell,
  certificateKernel,
  compileCell,
  driveKernel,
  type ProgramKernel,
  sweepKernel,
} from "./program/index.ts";
import type { Kernel } from "./recorder.ts";
import { planScan, type ScanPlan, type ScanShape } from "./scan.ts";
import { assembleShader, type ShaderParts } from "./shader.ts";
import { measureTiles, type WindowNeeds } from "./window.ts";

/** The kernels that one window needs, by stage; where there are several, they run one after the other. */
export interface WindowKernels {
  readonly drive: readonly Kernel[];
  readonly scan: readonly Kernel[];
  readonly sweep: readonly Kernel[];
  readonly certificate: readonly Kernel[];
  readonly measure: readonly Kernel[];
  readonly decide: readonly Kernel[];
  readonly finite: readonly Kernel[];
}

/** The kernels of a slot, in the order in which they run. */
export function slotOf(kernels: WindowKernels): readonly (readonly Kernel[])[] {
  const { scan, sweep, certificate, measure, decide } = kernels;
  return [scan, sweep, certificate, measure, decide];
}

export interface BatchKernels {
  /** C; for a sequential run, all steps of the longest sequence. */
  readonly chunk: number;
  /** All that the kernels made so far need. */
  readonly weights: Float32Array;
  readonly needs: WindowNeeds;
  /** Multiply–adds of a step, about. */
  readonly stepCost: number;
  of(window: Window): WindowKernels;
}

/** Multiply–adds, and steps, after which a chunk's dispatch ends and another one goes on. */
const SLICE_WORK = 2 ** 28;
const SLICE_STEPS = 8192;
const SHORTEST_SLICE = 64;
/** Rows that a workgroup of `finite` looks at. */
const FINITE_TILE = 256;

/** What of a job its kernels depend on. */
interface Settings {
  readonly sequential: boolean;
  readonly jacobian: JacobianKind;
  /** T of the longest sequence, and C. */
  readonly longest: number;
  readonly chunk: number;
  readonly damped: boolean;
  readonly smoother: boolean;
  readonly trustRegion: boolean;
  /** Sweeps that are kept a trace of, and the first; 0 for no trace. */
  readonly traced: number;
  readonly onDevice: boolean;
}

/** Sweeps of which a trace is kept for `onIteration`, at most. */
const MOST_TRACED = 4096;

function settingsOf(job: Job, sequential: boolean): Settings {
  const longest = job.sequences.reduce((most, { length }) => Math.max(most, length), 1);
  const damping = sequential ? null : job.damping;
  return {
    sequential,
    jacobian: sequential ? "none" : job.jacobian!,
    longest,
    chunk: sequential ? longest : Math.min(job.chunk, longest),
    damped: damping !== null && (damping.lambda > 0 || damping.trustRegion),
    smoother: damping?.estimate === "smoother",
    trustRegion: damping?.trustRegion ?? false,
    traced: job.onIteration && !sequential ? Math.min(job.maxIterations + 1, MOST_TRACED) : 0,
    onDevice: job.output === "gpu",
  };
}

/** What was made for a cell, by the settings; the programs of a cell share their weights. */
interface CellKernels {
  readonly compiled: CompiledCell;
  readonly made: Map<string, BatchKernels>;
}

const madeFor = new WeakMap<GpuDevice, WeakMap<Cell, CellKernels>>();
/** Shapes of windows, and settings, that are remembered: texts of shaders, some tens of kB each. */
const MOST_REMEMBERED = 16;

function remembered<Value>(known: Map<string, Value>, key: string, make: () => Value): Value {
  const value = known.get(key) ?? make();
  if (known.size >= MOST_REMEMBERED && !known.has(key)) known.clear();
  known.set(key, value);
  return value;
}

/** @throws RangeError when the cell does not fit the device. */
export function batchKernels(job: Job, sequential: boolean, gpu: GpuDevice): BatchKernels {
  const { cell } = job;
  const cells = madeFor.get(gpu) ?? new WeakMap<Cell, CellKernels>();
  madeFor.set(gpu, cells);
  const { compiled, made } = cells.get(cell) ?? { compiled: compileCell(cell), made: new Map() };
  cells.set(cell, { compiled, made });
  const settings = settingsOf(job, sequential);
  return remembered(made, JSON.stringify(settings), () => makeKernels(compiled, settings, gpu));
}

function makeKernels(compiled: CompiledCell, settings: Settings, gpu: GpuDevice): BatchKernels {
  const { cell } = compiled.recurrence;
  const { sequential, jacobian, longest, chunk, traced } = settings;
  const { maxInvocations, maxWorkgroupStorage } = gpu.limits;
  const limits = { maxInvocations, maxWorkgroupStorage };
  const { sourceSize } = compiled;
  const { inputSize, stateSize } = cell;
  const stepCost = stateSize * (stateSize + sourceSize) + 8 * stateSize;
  const tangents = jacobian === "dense" ? stateSize : 1;
  const scanShape = (chunks: number): ScanShape => ({
    kind: jacobian,
    stateSize,
    unitSize: jacobian === "block" ? blockSize(cell) : 1,
    chunks,
    damped: settings.damped,
    smoother: settings.smoother,
    trustRegion: settings.trustRegion,
  });
  const scans = new Map<string, ScanPlan>();
  const scanOf = (chunks: number) =>
    remembered(scans, `${chunks}`, () => planScan(scanShape(chunks)));
  const sized = sweepKernel(compiled, jacobian, { chunks: 1, limits });
  const simple = (
    stage: string,
    workgroups: number,
    bindings: readonly Binding[],
    parts: ShaderParts,
  ): Kernel => {
    const sections = { bindings: declarations(bindings) };
    const code = assembleShader(`${stage}.wgsl`, { ...parts, sections });
    return { label: stage, stage, workgroups, code, bindings };
  };
  const slices = (kernel: Kernel, steps: number, cost: number): Kernel[] => {
    const most = Math.max(SHORTEST_SLICE, Math.min(SLICE_STEPS, Math.floor(SLICE_WORK / cost)));
    return Array.from({ length: Math.ceil(steps / most) }, (_, i) => ({
      ...kernel,
      uniforms: {
        slice: Uint32Array.of(i * most, Math.min((i + 1) * most, steps), 0, 0),
      },
    }));
  };
  const subgroups = gpu.subgroups ? ["SUBGROUPS"] : [];
  const made = new Map<string, WindowKernels>();
  const make = (window: Window): WindowKernels => {
    const { chunks, errorChunks, errorChunkLength, rows, segments } = window;
    const drive = driveKernel(compiled, { chunks: rows, limits });
    const sweep = sweepKernel(compiled, jacobian, { chunks, limits });
    const finite = settings.onDevice
      ? [
          simple(
            "finite",
            Math.ceil(rows / FINITE_TILE),
            bindingsOf(["problem", "control", "states"], ["spoiled"]),
            { constants: { STATE_SIZE: stateSize, TILE: FINITE_TILE } },
          ),
        ]
      : [];
    const common = {
      drive: drive ? [counted("drive", drive, rows)] : [],
      sweep: slices(
        counted("sweep", sweep, chunks),
        Math.min(chunk, longest),
        stepCost * Math.min(tangents, 4),
      ),
      finite,
    };
    const none = { scan: [], certificate: [], measure: [], decide: [] };
    if (sequential) return { ...common, ...none };
    const certificate = certificateKernel(compiled, { chunks: errorChunks, limits });
    const certificates = slices(
      counted("certificate", certificate, errorChunks),
      errorChunkLength,
      5 * stepCost,
    );
    const { kernels: scan } = scanOf(chunks);
    const dispatches = scan.length + common.sweep.length + certificates.length + 2;
    const decides = ["control", "dispatches", ...(traced > 0 ? ["trace"] : [])];
    return {
      ...common,
      scan,
      certificate: certificates,
      measure: [
        simple(
          "measure",
          segments * measureTiles(window, chunk).tiles,
          bindingsOf(["problem", "control", "measures", "errorMeasures"], ["tiles"]),
          { flags: subgroups },
        ),
      ],
      decide: [
        simple("decide", 1, bindingsOf(["problem", "measures", "tiles", "planned"], decides), {
          constants: { DISPATCHES: dispatches, TRACED: traced },
          flags: traced > 0 ? ["TRACE"] : [],
        }),
      ],
    };
  };
  return {
    chunk,
    get weights() {
      return compiled.weights.values;
    },
    needs: {
      sizes: { inputSize, sourceSize, stateSize, productWidth: sized.productWidth },
      parallel: !sequential,
      trustRegion: settings.trustRegion,
      traced,
      scratch: (count) => (sequential ? 4 : scanOf(Math.max(count, 1)).bytes),
    },
    stepCost: stepCost * tangents,
    of: (window) => {
      const { rows, segments, chunks, errorChunks, errorChunkLength } = window;
      const { tiles } = measureTiles(window, chunk);
      const key = `${rows} ${segments} ${chunks} ${errorChunks} ${errorChunkLength} ${tiles}`;
      return remembered(made, key, () => make(window));
    },
  };
}

function counted(stage: string, kernel: ProgramKernel, count: number): Kernel {
  const { label, code, bindings, workgroups } = kernel;
  return { stage, label, code, bindings, workgroups: workgroups(count) };
}
