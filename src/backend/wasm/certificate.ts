/** The certificate of an engine's joined states; the kernel is assembly/certificate.ts. */
import { Certify } from "../../../assembly/layout.ts";
import type { Leaf } from "../../cell/expression.ts";
import { type Certificate, ROUNDING_NOISE } from "../../solve/engine.ts";
import type { KernelExports } from "./load.ts";
import type { CompiledProgram } from "./lower.ts";
import type { KernelMemory } from "./memory.ts";

/** One tangent for the defects, three for rounding errors. */
export const CERTIFICATE_COLUMNS = 4;

export interface CertifiedArrays {
  /** What the steps read beside the state. */
  readonly source: number;
  readonly states: number;
  /** s_0 first. */
  readonly boundaries: number;
}

export class CertificateRunner {
  readonly #memory: KernelMemory;
  readonly #exports: KernelExports;
  readonly #address: number;
  readonly #unitRoundoff: number;
  readonly #tangents: number;
  readonly #stateSize: number;

  /** @param program the step with `CERTIFICATE_COLUMNS` tangents. */
  constructor(
    memory: KernelMemory,
    exports: KernelExports,
    program: CompiledProgram,
    source: Leaf,
    arrays: CertifiedArrays,
    stateSize: number,
    unitRoundoff: number,
  ) {
    const { code, carry, next, leaves } = program;
    this.#memory = memory;
    this.#exports = exports;
    this.#address = memory.allocate(Certify.size);
    this.#unitRoundoff = unitRoundoff;
    this.#tangents = leaves.get("tangent")!;
    this.#stateSize = stateSize;
    const fields: [Certify, number][] = [
      [Certify.code, code],
      [Certify.states, arrays.states],
      [Certify.source, arrays.source],
      [Certify.sourceWidth, source.size],
      [Certify.sourceRegister, source.size > 0 ? leaves.get(source.name)! : 0],
      [Certify.stateRegister, carry],
      [Certify.tangentRegister, this.#tangents],
      [Certify.nextRegister, next],
      [Certify.stateSize, stateSize],
      [Certify.initial, arrays.boundaries],
    ];
    for (const [field, value] of fields) memory.words[(this.#address + field) / 4] = value;
  }

  begin(): void {
    const { floats } = this.#memory;
    const at = this.#address;
    floats[(at + Certify.rounding) / 4] = ROUNDING_NOISE * this.#unitRoundoff;
    floats[(at + Certify.residual) / 4] = 0;
    floats[(at + Certify.error) / 4] = 0;
    this.#memory.view(this.#tangents, this.#stateSize * CERTIFICATE_COLUMNS).fill(0);
  }

  /** Looks at steps `from` … `to − 1`, in order. */
  run(from: number, to: number): void {
    this.#exports.certify(this.#address, from, to);
  }

  result(): Certificate {
    const { floats } = this.#memory;
    return {
      residual: floats[(this.#address + Certify.residual) / 4]!,
      errorEstimate: floats[(this.#address + Certify.error) / 4]!,
    };
  }
}
