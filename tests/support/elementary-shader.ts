/** Runs the functions of gpu/shared/elementary.wgsl on a device, one at a time, over many inputs. */
import { assembleShader } from "../../src/backend/webgpu/shader.ts";

export type Width = 1 | 2 | 4;

/** Arguments and results by their bits. */
export type Applied = (...inputs: readonly Uint32Array[]) => Promise<Uint32Array>;

/** At most so many inputs at once, so that the default limits hold. */
export const CAPACITY = 2 ** 20;

const GROUP = 64;

/**
 * NAME_WIDTH as a function of arrays of equal length, at most `CAPACITY` long.
 *
 * @param arity how many arguments it takes
 */
export async function applier(
  device: GPUDevice,
  name: string,
  width: Width,
  arity: number,
): Promise<Applied> {
  const type = { 1: "f32", 2: "vec2f", 4: "vec4f" }[width];
  const bindings = Array.from({ length: arity + 1 }, (_, i) => {
    const access = i < arity ? "read" : "read_write";
    return `@group(0) @binding(${i}) var<storage, ${access}> array${i}: array<${type}>;`;
  });
  const operands = bindings.slice(1).map((_, i) => `array${i}[i]`);
  const module = device.createShaderModule({
    code: `${assembleShader("shared/elementary.wgsl")}
      ${bindings.join("\n")}
      @compute @workgroup_size(${GROUP})
      fn main(@builtin(global_invocation_id) id: vec3u) {
        let i = id.x;
        if (i < arrayLength(&array${arity})) {
          array${arity}[i] = ${name}_${width}(${operands.join(", ")});
        }
      }`,
  });
  const layout = "auto";
  const pipeline = await device.createComputePipelineAsync({ layout, compute: { module } });
  return async (...inputs) => {
    const count = inputs[0].length;
    const size = 4 * width * Math.ceil(count / width);
    const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
    const buffers = bindings.map(() =>
      device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST }),
    );
    const staging = device.createBuffer({ size, usage: MAP_READ | COPY_DST });
    for (const [i, input] of inputs.entries()) {
      device.queue.writeBuffer(buffers[i], 0, input as Uint32Array<ArrayBuffer>);
    }
    const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
    const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(Math.ceil(count / width / GROUP));
    pass.end();
    encoder.copyBufferToBuffer(buffers[arity], 0, staging, 0, size);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const results = new Uint32Array(staging.getMappedRange().slice(0)).subarray(0, count);
    for (const buffer of [...buffers, staging]) buffer.destroy();
    return results;
  };
}
