/** The certificate of an engine's joined states; the kernel is assembly/certificate.ts. */
import { Certify } from "../../../assembly/layout.ts";
import type { Leaf } from "../../cell/expression.ts";
import { ROUNDING_NOISE, type SweepEngine } from "../../solve/engine.ts";
import type { ChunkArrays } from "./chunks.ts";
import type { KernelExports } from "./load.ts";
import type { CompiledProgram } from "./lower.ts";
import type { KernelMemory } from "./memory.ts";

/** One tangent for the defects, three for rounding errors. */
export const CERTIFICATE_COLUMNS = 4;

/**
 * The part of an engine that certifies its states.
 *
 * @param program the step with `CERTIFICATE_COLUMNS` tangents.
 * @param source what the steps read beside the state.
 */
export function certifier(
  memory: KernelMemory,
  exports: KernelExports,
  { code, carry, next, leaves }: CompiledProgram,
  source: Leaf,
  arrays: ChunkArrays,
  stateSize: number,
  unitRoundoff: number,
): Pick<SweepEngine, "beginCertificate" | "certify" | "certificate"> {
  const address = memory.allocate(Certify.size);
  const tangents = leaves.get("tangent")!;
  memory.setFields(address, [
    [Certify.code, code],
    [Certify.states, arrays.states],
    [Certify.source, arrays.source],
    [Certify.sourceWidth, source.size],
    [Certify.sourceRegister, source.size > 0 ? leaves.get(source.name)! : 0],
    [Certify.stateRegister, carry],
    [Certify.tangentRegister, tangents],
    [Certify.nextRegister, next],
    [Certify.stateSize, stateSize],
    [Certify.initial, arrays.boundaries],
  ]);
  memory.floats[(address + Certify.rounding) / 4] = ROUNDING_NOISE * unitRoundoff;
  return {
    beginCertificate() {
      memory.setFields(address, [
        [Certify.residual, 0],
        [Certify.error, 0],
      ]);
      memory.view(tangents, stateSize * CERTIFICATE_COLUMNS).fill(0);
    },
    certify: (from, to) => exports.certify(address, from, to),
    certificate: () => ({
      residual: memory.floats[(address + Certify.residual) / 4]!,
      errorEstimate: memory.floats[(address + Certify.error) / 4]!,
    }),
  };
}
