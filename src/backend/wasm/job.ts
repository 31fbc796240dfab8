/** Fills in the structures that the kernel `runLanes` works through. */
import { Job, Lane } from "../../../assembly/layout.ts";
import type { CompiledProgram } from "./lower.ts";
import type { KernelMemory } from "./memory.ts";
import type { Signs } from "./programs.ts";

export interface JobOptions {
  readonly program: CompiledProgram;
  /** What does the first step instead, with the same registers. */
  readonly firstStep?: CompiledProgram;
  /** The leaf that is read from outside at every step; none if its width is 0. */
  readonly source: { readonly leaf: string; readonly width: number; readonly stride: number };
  /** Floats of `next` that are stored after every step, and bytes from row to row. */
  readonly target: { readonly width: number; readonly stride: number };
  /** Floats of the state, the first of what is carried. */
  readonly stateWidth: number;
  /** Address of what the rest of what is carried starts from. */
  readonly restart?: number;
  readonly signs?: Signs | null;
}

/** A job for one program, whose lanes are set anew for every run. */
export class LaneJob {
  readonly lanes: number;
  readonly #memory: KernelMemory;
  readonly #address: number;
  readonly #table: number;
  readonly #run: (job: number) => void;
  #steps = 0;

  constructor(memory: KernelMemory, run: (job: number) => void, options: JobOptions) {
    const { program, firstStep = program, source, target, stateWidth } = options;
    const { restart = 0, signs } = options;
    this.#memory = memory;
    this.#run = run;
    this.lanes = program.lanes;
    this.#address = memory.allocate(Job.size);
    this.#table = memory.allocate(program.lanes * Lane.size);
    memory.setFields(this.#address, [
      [Job.code, program.code],
      [Job.firstCode, firstStep.code],
      [Job.lanes, program.lanes],
      [Job.table, this.#table],
      [Job.sourceWidth, source.width],
      [Job.sourceStride, source.stride],
      [Job.sourceRegister, source.width > 0 ? program.leaves.get(source.leaf)! : 0],
      [Job.carryRegister, program.carry],
      [Job.nextRegister, program.next],
      [Job.carryWidth, program.carryWidth],
      [Job.targetWidth, target.width],
      [Job.targetStride, target.stride],
      [Job.signs, signs?.address ?? 0],
      [Job.signsWidth, signs?.width ?? 0],
      [Job.signsRegister, signs ? program.leaves.get("signs")! : 0],
      [Job.signsRows, signs?.rows ?? 1],
      [Job.stateWidth, stateWidth],
      [Job.restart, restart],
    ]);
  }

  /** Sets a lane; addresses in bytes. `final` and `finalRest` may be 0: nowhere. */
  setLane(
    lane: number,
    source: number,
    target: number,
    steps: number,
    initial: number,
    final: number,
    finalRest = 0,
    sign = 0,
  ): void {
    // Done for every chunk of every sweep, so without a table of fields.
    const { words } = this.#memory;
    const at = (this.#table + lane * Lane.size) / 4;
    words[at + Lane.source / 4] = source;
    words[at + Lane.target / 4] = target;
    words[at + Lane.steps / 4] = steps;
    words[at + Lane.sign / 4] = sign;
    words[at + Lane.initial / 4] = initial;
    words[at + Lane.final / 4] = final;
    words[at + Lane.finalRest / 4] = finalRest;
    if (lane === 0) this.#steps = 0;
    this.#steps = Math.max(this.#steps, steps);
  }

  /** Runs the lanes that have been set; those from `count` on copy lane 0 and stay idle. */
  run(count: number): void {
    const { words } = this.#memory;
    const first = this.#table / 4;
    for (let lane = count; lane < this.lanes; lane++) {
      const at = (this.#table + lane * Lane.size) / 4;
      words.copyWithin(at, first, first + Lane.size / 4);
      words[at + Lane.steps / 4] = 0;
    }
    words[(this.#address + Job.steps) / 4] = this.#steps;
    this.#run(this.#address);
  }
}
