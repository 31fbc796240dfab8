/** A small suite for every host of WebGPU: who the adapter is, and a sum by one workgroup. */
const COUNT = 256;

const code = `
@group(0) @binding(0) var<storage, read_write> values: array<f32>;
var<workgroup> partial: array<f32, ${COUNT}>;

@compute @workgroup_size(${COUNT})
fn main(@builtin(local_invocation_index) i: u32) {
  partial[i] = values[i];
  for (var half = ${COUNT / 2}u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (i < half) {
      partial[i] += partial[i + half];
    }
  }
  values[i] = select(values[i], partial[0], i == 0u);
}`;

export interface WorkgroupSum {
  readonly adapter: { readonly isFallback: boolean; readonly description: string };
  /** What device.limits says where no limits were asked for. */
  readonly storageBuffers: number;
  readonly sum: number;
  /** 1² + 2² + … + 256² */
  readonly expected: number;
  /** Of a shader with a mistake on its second line. */
  readonly complaint: { readonly type: string; readonly line: number };
}

export default async function workgroupSum(gpu: GPU): Promise<WorkgroupSum> {
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error("no adapter");
  const device = await adapter.requestDevice();
  const inputs = Float32Array.from({ length: COUNT }, (_, i) => (i + 1) ** 2);
  const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
  const size = inputs.byteLength;
  const values = device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
  const staging = device.createBuffer({ size, usage: MAP_READ | COPY_DST });
  device.queue.writeBuffer(values, 0, inputs);
  const pipeline = await device.createComputePipelineAsync({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }), entryPoint: "main" },
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  const layout = pipeline.getBindGroupLayout(0);
  const entries = [{ binding: 0, resource: { buffer: values } }];
  pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(values, 0, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const [sum] = new Float32Array(staging.getMappedRange());

  device.pushErrorScope("validation");
  const wrong = device.createShaderModule({ code: "const a = 1;\nconst b = a + missing;" });
  const { messages } = await wrong.getCompilationInfo();
  await device.popErrorScope();
  const { isFallbackAdapter, description } = adapter.info;
  const storageBuffers = device.limits.maxStorageBuffersPerShaderStage;
  device.destroy();
  return {
    adapter: { isFallback: isFallbackAdapter, description },
    storageBuffers,
    sum,
    expected: inputs.reduce((total, value) => total + value, 0),
    complaint: { type: messages[0].type, line: messages[0].lineNum },
  };
}
