// src/backend/webgpu/scan.ts replaces these by what a kernel uses, numbered in its own order.
//#section bindings
@group(0) @binding(0) var<uniform> level: Level;
@group(0) @binding(1) var<storage, read_write> scratch: array<f32>;
@group(0) @binding(2) var<uniform> problem: Problem;
@group(0) @binding(3) var<storage, read> control: array<Sequence>;
@group(0) @binding(4) var<storage, read> ends: array<f32>;
@group(0) @binding(5) var<storage, read_write> boundaries: array<f32>;
@group(0) @binding(6) var<storage, read> products: array<f32>;
@group(0) @binding(7) var<storage, read> bounds: array<vec2f>;
@group(0) @binding(8) var<storage, read_write> states: array<f32>;
@group(0) @binding(9) var<storage, read_write> saved: array<f32>;
//#end
