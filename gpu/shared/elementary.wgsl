// Elementary functions on one, two or four float32 lanes: NAME_1(f32), NAME_2(vec2f), NAME_4(vec4f).
//
// The language's own may be off by 1e-5 (tanh) or 2^-11 (sin), and tanh(100) is NaN on some drivers. These use
// the methods of assembly/math.ts, which explains the polynomials. The errors are the largest found in a sweep
// over float32, in units of its spacing, where division rounds correctly; a GPU's may add up to 2.5. Subnormal
// results may be 0, subnormal arguments may count as 0, and zeros may lose their sign.
//
// NaN gives NaN. Compilers may take it for impossible in arithmetic and comparisons, so the bits are examined.

const ROUNDER = 12582912.0; // 1.5 · 2^23: n + ROUNDER has the integer n in its low bits.
const LN2_HIGH = 0.693145751953125;
const LN2_LOW = 1.428606765330187e-6;
const LOG2_E = 1.44269504088896;
const SIGN = 0x80000000u;
const INFINITE = 0x7f800000u;
const QUIET = 0x00400000u; // Makes a NaN of an infinity.

// Written for vec4f; shader.ts repeats it for vec2f and f32.
//#widths

// NaN where x is, else y.
fn nan_of_4(x: vec4f, y: vec4f) -> vec4f {
  return select(y, x, (bitcast<vec4u>(x) & vec4u(~SIGN)) > vec4u(INFINITE));
}

// e^x to 1.2 ULP.
fn exp_4(x: vec4f) -> vec4f {
  let c = clamp(x, vec4f(-104), vec4f(89));
  let n = round(c * LOG2_E);
  let r = fma(n, vec4f(-LN2_LOW), fma(n, vec4f(-LN2_HIGH), c));
  let p = ((((0.00137894927 * r + 0.00836867187) * r + 0.0416688882) * r + 0.166665211) * r + 0.499999911) * r + 1;
  // 2^n may lie outside of float32, its two factors do not.
  let i = bitcast<vec4i>(n + ROUNDER);
  let half = (i >> vec4u(1)) << vec4u(23);
  let rest = (i << vec4u(23)) - half;
  return nan_of_4(x, (p * r + 1) * bitcast<vec4f>(half + 0x3f800000) * bitcast<vec4f>(rest + 0x3f800000));
}

// 1 / (1 + e^−x) to 2.4 ULP, with one division.
fn sigmoid_4(x: vec4f) -> vec4f {
  let c = clamp(x, vec4f(-104), vec4f(30));
  let n = round(c * -LOG2_E);
  let r = fma(n, vec4f(LN2_LOW), fma(n, vec4f(LN2_HIGH), c));
  let square = r * r;
  let odd = r * (4.03574406e-10 * square + 2.421438694e-8);
  let even = 4.84288465e-9 * square + 4.842877388e-8;
  let sum = even + odd;
  let scaled = bitcast<vec4i>(even - odd) + (bitcast<vec4i>(n + ROUNDER) << vec4u(23));
  return nan_of_4(x, sum / (sum + bitcast<vec4f>(scaled)));
}

// tanh x to 2.7 ULP, near 0 too.
fn tanh_4(x: vec4f) -> vec4f {
  let c = clamp(x, vec4f(-9.1), vec4f(9.1));
  let n = round(c * (2 * LOG2_E));
  let r = fma(n, vec4f(-0.346573590279973), c);
  let square = r * r;
  let q = r * ((0.131039351 * square - 0.333311409) * square + 1);
  // 2^(n − 1)
  let power = bitcast<vec4f>(bitcast<vec4i>(n + (ROUNDER + 126)) << vec4u(23));
  let plus = power + 0.5;
  let minus = 0.5 - power;
  return nan_of_4(x, fma(plus, q, -minus) / fma(-minus, q, plus));
}

// high + low + log(1 + f) for √½ ≤ 1 + f ≤ √2.
fn log_one_plus_4(f: vec4f, high: vec4f, low: vec4f) -> vec4f {
  let s = f / (2 + f);
  let square = s * s;
  let p = (0.298714608 * square + 0.399775684) * square + 0.666667759;
  return high + (f + fma(-s, f - square * p, low));
}

// log x to 1 ULP, of subnormal arguments too. log 0 = −Infinity.
fn log_4(x: vec4f) -> vec4f {
  let bits = bitcast<vec4i>(x);
  // As an integer, a subnormal is 2^149 times its value.
  let subnormal = bits < vec4i(0x00800000);
  let normal = select(bits, bitcast<vec4i>(vec4f(bits)), subnormal);
  let exponent = (normal - 0x3f3504f3) >> vec4u(23);
  let f = bitcast<vec4f>(normal - (exponent << vec4u(23))) - 1;
  let k = vec4f(exponent) - select(vec4f(), vec4f(149), subnormal);
  let y = log_one_plus_4(f, k * LN2_HIGH, k * LN2_LOW);
  // Zeros, negative numbers, Infinity and NaN: bits are added that make −Infinity, NaN, nothing, nothing.
  let magnitude = bits & vec4i(0x7fffffff);
  let added = select(select(vec4i(), vec4i(0x7fc00000), bits < vec4i()), vec4i(-0x800000), magnitude == vec4i());
  return select(y, bitcast<vec4f>(bits | added), bitcast<vec4u>(x) - 1 >= vec4u(INFINITE - 1));
}

// log(1 + e^x) to 1.9 ULP.
fn softplus_4(x: vec4f) -> vec4f {
  let u = exp_4(-abs(x));
  // log(1 + u) = ln 2 + log(1 + (u − 1)/2)
  let large = u > vec4f(0.41421356237309505);
  let f = select(u, (u - 1) * 0.5, large);
  let y = log_one_plus_4(f, select(vec4f(), vec4f(LN2_HIGH), large), select(vec4f(), vec4f(LN2_LOW), large));
  return nan_of_4(x, max(x, vec4f()) + y);
}

fn mul_high_4(a: vec4u, b: vec4u) -> vec4u {
  let h = vec4u(16);
  let l = vec4u(0xffff);
  let t = (a & l) * (b >> h) + (((a & l) * (b & l)) >> h);
  return (a >> h) * (b >> h) + (t >> h) + (((a >> h) * (b & l) + (t & l)) >> h);
}

// sin(|x| + quarters · π/2) for quarters = 0, 1.
fn sine_4(x: vec4f, quarters: u32) -> vec4f {
  let magnitude = abs(x);
  let n = round(magnitude * 0.636619772367581);
  // π/2 in four parts; the reduced argument is r + tail.
  let coarse = fma(n, vec4f(-4.8375129699707031e-4), fma(n, vec4f(-1.5703125), magnitude));
  let fine = n * 7.5495336204767227e-8;
  var r = coarse - fine;
  var tail = fma(n, vec4f(-2.5633440682570896e-12), (coarse - r) - fine);
  var quadrant = bitcast<vec4u>(n + ROUNDER);
  let bits = bitcast<vec4u>(x) & vec4u(~SIGN);
  let large = magnitude > vec4f(10000);
  if (any(large)) {
    // Payne and Hanek (1983): the mantissa times the 96 bits of 2/π that matter modulo four quarter turns.
    var words = array<u32, 8>(0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu);
    let m = (bits & vec4u(0x7fffff)) | vec4u(0x800000);
    let first = (bits >> vec4u(23)) - 120;
    var w0 = vec4u();
    var w1 = w0;
    var w2 = w0;
    var w3 = w0;
    for (var i = 0u; i < 5; i++) {
      let here = (first >> vec4u(5)) == vec4u(i);
      w0 = select(w0, vec4u(words[i]), here);
      w1 = select(w1, vec4u(words[i + 1]), here);
      w2 = select(w2, vec4u(words[i + 2]), here);
      w3 = select(w3, vec4u(words[i + 3]), here);
    }
    let left = first & vec4u(31);
    // In two steps, since a shift by 32 would be a shift by 0.
    let right = 31 - left;
    w0 = (w0 << left) | ((w1 >> vec4u(1)) >> right);
    w1 = (w1 << left) | ((w2 >> vec4u(1)) >> right);
    let carried = mul_high_4(m, (w2 << left) | ((w3 >> vec4u(1)) >> right));
    // |x| in quarter turns, modulo 4, is upper · 2^−30 + lower · 2^−62.
    let lower = m * w1 + carried;
    let upper = m * w0 + mul_high_4(m, w1) + select(vec4u(), vec4u(1), lower < carried);
    let whole = (upper + 0x20000000) >> vec4u(30);
    let rest = bitcast<vec4i>(upper - (whole << vec4u(30)));
    let sign = bitcast<vec4u>(rest >> vec4u(31));
    let far = vec4f(bitcast<vec4u>(rest) ^ sign) * 1.4629180792671596e-9 + vec4f(lower ^ sign) * 3.4061215800865546e-19;
    r = select(r, bitcast<vec4f>(bitcast<vec4u>(far) ^ (sign & vec4u(SIGN))), large);
    tail = select(tail, vec4f(), large);
    quadrant = select(quadrant, whole, large);
  }
  let square = r * r;
  let sine = r + fma(r * square, (-1.95179004e-4 * square + 0.00833218731) * square - 0.166666552, tail);
  let quartic = (2.44323273e-5 * square - 0.00138873095) * square + 0.0416666456;
  let cosine = (1 - 0.5 * square) + fma(-r, tail, square * square * quartic);
  quadrant += quarters;
  let y = bitcast<vec4u>(select(sine, cosine, (quadrant & vec4u(1)) != vec4u()));
  let signed = y ^ ((quadrant << vec4u(30)) & vec4u(SIGN));
  return bitcast<vec4f>(select(signed, bits | vec4u(QUIET), bits >= vec4u(INFINITE)));
}

// To 1.3 ULP up to 10,000, near the zeros too, and to 3 ULP beyond.
fn sin_4(x: vec4f) -> vec4f {
  return bitcast<vec4f>(bitcast<vec4u>(sine_4(x, 0)) ^ (bitcast<vec4u>(x) & vec4u(SIGN)));
}

fn cos_4(x: vec4f) -> vec4f {
  return sine_4(x, 1);
}

fn sqrt_4(x: vec4f) -> vec4f {
  let bits = bitcast<vec4u>(x);
  return nan_of_4(x, select(sqrt(x), bitcast<vec4f>(bits | vec4u(INFINITE | QUIET)), bits > vec4u(SIGN)));
}

// x ≤ 0 ? 0 : x
fn relu_4(x: vec4f) -> vec4f {
  return select(x, vec4f(), bitcast<vec4u>(x) - SIGN <= vec4u(INFINITE));
}

// x > 0 ? 1 : 0
fn step_4(x: vec4f) -> vec4f {
  return select(vec4f(), vec4f(1), bitcast<vec4u>(x) - 1 < vec4u(INFINITE));
}

// a > b ? 1 : 0
fn greater_4(a: vec4f, b: vec4f) -> vec4f {
  return select(vec4f(), vec4f(1), a > b);
}

// a ≠ 0 ? b : c
fn where_4(a: vec4f, b: vec4f, c: vec4f) -> vec4f {
  return select(c, b, (bitcast<vec4u>(a) & vec4u(~SIGN)) != vec4u());
}

// NaN if either is.
fn minimum_4(a: vec4f, b: vec4f) -> vec4f {
  return nan_of_4(a, nan_of_4(b, min(a, b)));
}

fn maximum_4(a: vec4f, b: vec4f) -> vec4f {
  return nan_of_4(a, nan_of_4(b, max(a, b)));
}
//#end
