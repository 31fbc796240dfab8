/**
 * Elementary functions on four float32 lanes (`v128` as f32x4), without imports or managed memory.
 *
 * Every function works lane by lane: a lane's result depends on that lane's input alone, and NaN
 * gives NaN. The errors stated are the largest measured over all float32 inputs, against the exact
 * result in float64 and in units of the spacing of float32 there, subnormal results included. They
 * hold whether `madd4` rounds twice (plain SIMD) or once (relaxed SIMD on a machine with FMA).
 *
 * Method throughout: reduce the argument with a split constant (Cody and Waite, 1980), evaluate a
 * polynomial or rational function fitted to minimise the largest relative error on the reduced
 * interval, and put the power of two back with integer arithmetic on the exponent field.
 *
 * Constants are loaded from static memory rather than written as `v128.const`: engines rebuild a
 * vector literal from integer registers wherever it is used, which about doubles the cost of a
 * loop over these functions, while a load from a fixed address is one instruction. The static data
 * lies below `__heap_base` and must not be overwritten. Constants stand together in tables because
 * each piece of static data has a header of its own in the binary.
 */

const SHARED_TABLE: usize = memory.data<f32>([
  12582912.0, // ROUNDER
  1.0, // ONE
  0.5, // HALF
  -0.5, // MINUS_HALF
  -0.0, // SIGN_BIT
]);
/** 1.5 * 2^23: adding it rounds |y| < 2^22 to an integer held in the low bits of the sum. */
const ROUNDER: usize = SHARED_TABLE;
const ONE: usize = SHARED_TABLE + 4;
const HALF: usize = SHARED_TABLE + 8;
const MINUS_HALF: usize = SHARED_TABLE + 12;
const SIGN_BIT: usize = SHARED_TABLE + 16;

// @ts-ignore: decorator
@inline
function constant(address: usize): v128 {
  return v128.load32_splat(address);
}

/** a * b + c, rounded once where relaxed SIMD is enabled and the machine has FMA, else twice. */
// @ts-ignore: decorator
@inline
export function madd4(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** c - a * b, rounded like `madd4`. */
// @ts-ignore: decorator
@inline
export function nmadd4(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_nmadd(a, b, c);
  return f32x4.sub(c, f32x4.mul(a, b));
}

/**
 * x limited to [lower, upper]; NaN stays NaN.
 *
 * `pmin(x, c)` is `c < x ? c : x`, so with the variable as the *first* operand a NaN passes through;
 * one machine instruction each, where `f32x4.min` and `f32x4.max` take five or more on x86.
 */
// @ts-ignore: decorator
@inline
function clamp4(x: v128, lower: v128, upper: v128): v128 {
  return f32x4.pmax(f32x4.pmin(x, upper), lower);
}

// --- exp ------------------------------------------------------------------------------------

const EXP_TABLE: usize = memory.data<f32>([
  1.44269504088896, // LOG2_E
  0.693145751953125, // LN2_HIGH
  1.428606765330187e-6, // LN2_LOW
  89.0, // EXP_UPPER
  -104.0, // EXP_LOWER
  0.499999911, // E2
  0.166665211, // E3
  0.0416688882, // E4
  0.00836867187, // E5
  0.00137894927, // E6
]);
const LOG2_E: usize = EXP_TABLE;
/** ln 2 = LN2_HIGH + LN2_LOW; the high part has 15 bits, so its product with |n| <= 256 is exact. */
const LN2_HIGH: usize = EXP_TABLE + 4;
const LN2_LOW: usize = EXP_TABLE + 8;
/** exp is infinite above and zero below these in float32, and 2^n needs -150 <= n <= 128. */
const EXP_UPPER: usize = EXP_TABLE + 12;
const EXP_LOWER: usize = EXP_TABLE + 16;
/** e^r = 1 + r + E2 r^2 + ... + E6 r^6 on |r| <= ln(2)/2, relative error 2^-28. */
const E2: usize = EXP_TABLE + 20;
const E3: usize = EXP_TABLE + 24;
const E4: usize = EXP_TABLE + 28;
const E5: usize = EXP_TABLE + 32;
const E6: usize = EXP_TABLE + 36;

/**
 * e^x. Error at most 1.2 ULP. Overflows to +Infinity, underflows gradually through the subnormals
 * to 0; e^-Infinity = 0.
 */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  x = clamp4(x, constant(EXP_LOWER), constant(EXP_UPPER));
  // x = n ln 2 + r, with the integer n in the low bits of `shifted`.
  const shifted = madd4(x, constant(LOG2_E), constant(ROUNDER));
  const n = f32x4.sub(shifted, constant(ROUNDER));
  const r = nmadd4(n, constant(LN2_LOW), nmadd4(n, constant(LN2_HIGH), x));
  let p = madd4(r, constant(E6), constant(E5));
  p = madd4(p, r, constant(E4));
  p = madd4(p, r, constant(E3));
  p = madd4(p, r, constant(E2));
  p = madd4(p, r, constant(ONE));
  p = madd4(p, r, constant(ONE));
  // 2^n may lie outside the float32 range: multiply by 2^floor(n/2), exactly, then by the rest with
  // one rounding. Shifting left by 23 drops the bits of ROUNDER; adding to the exponent of p instead
  // of multiplying could turn a NaN into a number.
  const lowerHalf = i32x4.shl(i32x4.shr_s(shifted, 1), 23);
  const upperHalf = i32x4.sub(i32x4.shl(shifted, 23), lowerHalf);
  p = f32x4.mul(p, i32x4.add(lowerHalf, constant(ONE)));
  return f32x4.mul(p, i32x4.add(upperHalf, constant(ONE)));
}

// --- sigmoid --------------------------------------------------------------------------------

const SIGMOID_TABLE: usize = memory.data<f32>([
  30.0, // SIGMOID_UPPER
  4.842877388e-8, // S0
  2.421438694e-8, // S1
  4.84288465e-9, // S2
  4.03574406e-10, // S3
]);
/** The result is 1 from 17 on; 30 keeps every intermediate normal. */
const SIGMOID_UPPER: usize = SIGMOID_TABLE;
/**
 * tanh(r/2) = r (S1 + S3 r^2) / (S0 + S2 r^2) on |r| <= ln(2)/2, relative error 2^-27. All four
 * carry the factor S0 = 13/16 * 2^-24: the power of two keeps the denominator of the sigmoid below
 * overflow for results down to 2^-149, and 13/16 places its terms where they round least.
 */
const S0: usize = SIGMOID_TABLE + 4;
const S1: usize = SIGMOID_TABLE + 8;
const S2: usize = SIGMOID_TABLE + 12;
const S3: usize = SIGMOID_TABLE + 16;

/**
 * 1 / (1 + e^-x). Error at most 2.4 ULP, subnormal results included; never outside [0, 1];
 * sigmoid(0) = 1/2, sigmoid(-Infinity) = 0, sigmoid(Infinity) = 1.
 *
 * With -x = n ln 2 - r and tanh(r/2) = N/D, e^-r = (D - N) / (D + N), so that one division serves
 * both quotients: sigmoid(x) = (D + N) / ((D + N) + 2^n (D - N)).
 */
// @ts-ignore: decorator
@inline
export function sigmoid4(x: v128): v128 {
  x = clamp4(x, constant(EXP_LOWER), constant(SIGMOID_UPPER));
  const shifted = nmadd4(x, constant(LOG2_E), constant(ROUNDER));
  const n = f32x4.sub(shifted, constant(ROUNDER));
  const r = madd4(n, constant(LN2_LOW), madd4(n, constant(LN2_HIGH), x));
  const square = f32x4.mul(r, r);
  const numerator = f32x4.mul(r, madd4(square, constant(S3), constant(S1)));
  const denominator = madd4(square, constant(S2), constant(S0));
  const sum = f32x4.add(denominator, numerator);
  const difference = f32x4.sub(denominator, numerator);
  const scaled = i32x4.add(difference, i32x4.shl(shifted, 23));
  return f32x4.div(sum, f32x4.add(sum, scaled));
}

// --- tanh -----------------------------------------------------------------------------------

const TANH_TABLE: usize = memory.data<f32>([
  9.1, // TANH_UPPER
  -9.1, // TANH_LOWER
  2.88539008177793, // TWO_LOG2_E
  0.346573590279973, // HALF_LN2
  12583038.0, // TANH_ROUNDER
  -0.333311409, // T1
  0.131039351, // T2
]);
/** tanh is 1 in float32 from 9.02 on. */
const TANH_UPPER: usize = TANH_TABLE;
const TANH_LOWER: usize = TANH_TABLE + 4;
const TWO_LOG2_E: usize = TANH_TABLE + 8;
const HALF_LN2: usize = TANH_TABLE + 12;
/** ROUNDER + 126: shifted left by 23, the sum is the float32 2^(n-1) itself. */
const TANH_ROUNDER: usize = TANH_TABLE + 16;
/** tanh(r) = r (1 + T1 r^2 + T2 r^4) on |r| <= ln(2)/4, relative error 2^-24. */
const T1: usize = TANH_TABLE + 20;
const T2: usize = TANH_TABLE + 24;

/**
 * Hyperbolic tangent. Error at most 2.7 ULP, near 0 too; odd bit for bit, the sign of zero
 * included; never outside [-1, 1]; tanh(+-Infinity) = +-1.
 *
 * With 2x = n ln 2 + 2r and q = tanh(r), the addition theorem gives
 * tanh(x) = ((h + 1/2) q - (1/2 - h)) / ((h + 1/2) - (1/2 - h) q), h = 2^(n-1). For n = 0 that is
 * q / 1, which keeps small arguments accurate; the error of the short ln 2 matters for n != 0 only,
 * where tanh is flat. The numerator is never fused: 1 * -0 - 0 has to be -0.
 */
// @ts-ignore: decorator
@inline
export function tanh4(x: v128): v128 {
  x = clamp4(x, constant(TANH_LOWER), constant(TANH_UPPER));
  const shifted = madd4(x, constant(TWO_LOG2_E), constant(TANH_ROUNDER));
  const n = f32x4.sub(shifted, constant(TANH_ROUNDER));
  const r = nmadd4(n, constant(HALF_LN2), x);
  const square = f32x4.mul(r, r);
  const q = f32x4.mul(r, madd4(madd4(square, constant(T2), constant(T1)), square, constant(ONE)));
  const power = i32x4.shl(shifted, 23);
  const plus = f32x4.add(power, constant(HALF));
  const minus = f32x4.sub(constant(HALF), power);
  return f32x4.div(f32x4.sub(f32x4.mul(plus, q), minus), nmadd4(minus, q, plus));
}

// --- log and softplus -----------------------------------------------------------------------

const LOG_TABLE: usize = memory.data<f32>([
  2.0, // TWO
  0.666667759, // L1
  0.399775684, // L2
  0.298714608, // L3
  1.1754943508222875e-38, // SMALLEST_NORMAL
  8388608.0, // TWO_TO_23
  23.0, // TWENTY_THREE
  0.70710678118654752, // SQRT_HALF
  Infinity, // INFINITE
  -Infinity, // MINUS_INFINITE
  NaN, // NOT_A_NUMBER
  0.41421356237309505, // SQRT_TWO_LESS_ONE
]);
const TWO: usize = LOG_TABLE;
/** log(1+f) = 2s + s R, s = f/(2+f), R = s^2 (L1 + L2 s^2 + L3 s^4), |s| <= 3 - 2 sqrt 2, to 2^-30. */
const L1: usize = LOG_TABLE + 4;
const L2: usize = LOG_TABLE + 8;
const L3: usize = LOG_TABLE + 12;

/**
 * high + low + log(1 + f) for f in [sqrt(1/2) - 1, sqrt(2) - 1], |low| much smaller than |high|.
 *
 * Since 2s = f - s f, log(1 + f) = f - s (f - R): the quotient only enters a correction, and its
 * rounding errors are damped by f.
 */
// @ts-ignore: decorator
@inline
function logOnePlus(f: v128, high: v128, low: v128): v128 {
  const s = f32x4.div(f, f32x4.add(constant(TWO), f));
  const square = f32x4.mul(s, s);
  let p = madd4(square, constant(L3), constant(L2));
  p = madd4(p, square, constant(L1));
  const correction = f32x4.sub(f, f32x4.mul(square, p));
  return f32x4.add(high, f32x4.add(f, nmadd4(s, correction, low)));
}

const SMALLEST_NORMAL: usize = LOG_TABLE + 16;
const TWO_TO_23: usize = LOG_TABLE + 20;
const TWENTY_THREE: usize = LOG_TABLE + 24;
const SQRT_HALF: usize = LOG_TABLE + 28;
const INFINITE: usize = LOG_TABLE + 32;
const MINUS_INFINITE: usize = LOG_TABLE + 36;
const NOT_A_NUMBER: usize = LOG_TABLE + 40;

/**
 * Natural logarithm. Error at most 1 ULP, subnormal arguments included. log(+-0) = -Infinity,
 * log(x < 0) = NaN, log(Infinity) = Infinity.
 */
// @ts-ignore: decorator
@inline
export function log4(x: v128): v128 {
  const subnormal = f32x4.lt(x, constant(SMALLEST_NORMAL));
  const normal = v128.bitselect(f32x4.mul(x, constant(TWO_TO_23)), x, subnormal);
  // normal = 2^k m with m in [sqrt(1/2), sqrt 2): subtracting the bits of sqrt(1/2) makes the
  // exponent field of the difference the floor that k needs.
  const exponent = i32x4.shr_s(i32x4.sub(normal, constant(SQRT_HALF)), 23);
  const mantissa = i32x4.sub(normal, i32x4.shl(exponent, 23));
  const k = f32x4.sub(f32x4.convert_i32x4_s(exponent), v128.and(subnormal, constant(TWENTY_THREE)));
  let y = logOnePlus(
    f32x4.sub(mantissa, constant(ONE)),
    f32x4.mul(k, constant(LN2_HIGH)),
    f32x4.mul(k, constant(LN2_LOW)),
  );
  const zero = f32x4.splat(0);
  y = v128.bitselect(y, x, f32x4.lt(x, constant(INFINITE)));
  y = v128.bitselect(constant(MINUS_INFINITE), y, f32x4.eq(x, zero));
  return v128.bitselect(constant(NOT_A_NUMBER), y, f32x4.lt(x, zero));
}

const SQRT_TWO_LESS_ONE: usize = LOG_TABLE + 44;

/**
 * log(1 + e^x), as max(x, 0) + log(1 + e^-|x|). Error at most 1.9 ULP, down to subnormal results.
 * softplus(-Infinity) = 0, softplus(Infinity) = Infinity.
 */
// @ts-ignore: decorator
@inline
export function softplus4(x: v128): v128 {
  const zero = f32x4.splat(0);
  const u = exp4(f32x4.neg(f32x4.abs(x)));
  // log(1 + u) = ln 2 + log(1 + (u - 1)/2) where u is too large for `logOnePlus`.
  const large = f32x4.gt(u, constant(SQRT_TWO_LESS_ONE));
  const halved = f32x4.mul(f32x4.sub(u, constant(ONE)), constant(HALF));
  const f = v128.bitselect(halved, u, large);
  const logarithm = logOnePlus(
    f,
    v128.and(large, constant(LN2_HIGH)),
    v128.and(large, constant(LN2_LOW)),
  );
  return f32x4.add(f32x4.pmax(x, zero), logarithm);
}

// --- sin and cos ----------------------------------------------------------------------------

/** Up to here n = round(2x/pi) has 13 bits, and its products with the parts of pi/2 are exact. */
const LARGEST_REDUCED: f32 = 10000.0;
const SINE_TABLE: usize = memory.data<f32>([
  LARGEST_REDUCED, // REDUCTION_LIMIT
  0.636619772367581, // TWO_OVER_PI
  1.5703125, // PIO2_1
  4.8375129699707031e-4, // PIO2_2
  7.5495336204767227e-8, // PIO2_3
  2.5633440682570896e-12, // PIO2_4
  -0.166666552, // SIN1
  0.00833218731, // SIN2
  -1.95179004e-4, // SIN3
  0.0416666456, // COS1
  -0.00138873095, // COS2
  2.44323273e-5, // COS3
]);
const REDUCTION_LIMIT: usize = SINE_TABLE;
const TWO_OVER_PI: usize = SINE_TABLE + 4;
/** pi/2 = PIO2_1 + ... + PIO2_4: three parts of 11 bits and the rest, exact to 1e-19. */
const PIO2_1: usize = SINE_TABLE + 8;
const PIO2_2: usize = SINE_TABLE + 12;
const PIO2_3: usize = SINE_TABLE + 16;
const PIO2_4: usize = SINE_TABLE + 20;
/** sin r = r + r^3 (SIN1 + SIN2 r^2 + SIN3 r^4) on |r| <= pi/4, relative error 2^-27. */
const SIN1: usize = SINE_TABLE + 24;
const SIN2: usize = SINE_TABLE + 28;
const SIN3: usize = SINE_TABLE + 32;
/** cos r = 1 - r^2/2 + r^4 (COS1 + COS2 r^2 + COS3 r^4) on |r| <= pi/4, relative error 2^-32. */
const COS1: usize = SINE_TABLE + 36;
const COS2: usize = SINE_TABLE + 40;
const COS3: usize = SINE_TABLE + 44;

/**
 * sin(magnitude + quarterTurns * pi/2) for 0 <= magnitude <= LARGEST_REDUCED.
 *
 * The reduced argument is kept as r + tail: where the subtraction cancels, the rounding error of r
 * alone would cost a whole ULP of the result.
 */
// @ts-ignore: decorator
@inline
function sinAfterQuarterTurns(magnitude: v128, quarterTurns: i32): v128 {
  const shifted = madd4(magnitude, constant(TWO_OVER_PI), constant(ROUNDER));
  const n = f32x4.sub(shifted, constant(ROUNDER));
  const coarse = nmadd4(n, constant(PIO2_2), nmadd4(n, constant(PIO2_1), magnitude));
  const fine = f32x4.mul(n, constant(PIO2_3));
  const r = f32x4.sub(coarse, fine);
  const tail = nmadd4(n, constant(PIO2_4), f32x4.sub(f32x4.sub(coarse, r), fine));

  const square = f32x4.mul(r, r);
  let sine = madd4(madd4(square, constant(SIN3), constant(SIN2)), square, constant(SIN1));
  sine = f32x4.add(r, madd4(f32x4.mul(r, square), sine, tail));
  let cosine = madd4(madd4(square, constant(COS3), constant(COS2)), square, constant(COS1));
  cosine = nmadd4(r, tail, f32x4.mul(f32x4.mul(square, square), cosine));
  cosine = f32x4.add(madd4(square, constant(MINUS_HALF), constant(ONE)), cosine);

  const quadrant = i32x4.add(shifted, i32x4.splat(quarterTurns));
  const odd = i32x4.shr_s(i32x4.shl(quadrant, 31), 31);
  const sign = v128.and(i32x4.shl(quadrant, 30), constant(SIGN_BIT));
  return v128.xor(v128.bitselect(cosine, sine, odd), sign);
}

/** The first 224 bits of 2/pi after a word of zeros, most significant word first. */
const TWO_OVER_PI_BITS: usize = memory.data<u32>([
  0, 0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab,
]);
/** pi/2 * 2^-62 */
const QUARTER_TURN_62: f64 = 3.4061215800865546e-19;

/**
 * sin(magnitude + quarterTurns * pi/2) if magnitude > LARGEST_REDUCED, else `otherwise`.
 *
 * Payne and Hanek's reduction (1983): with magnitude = m 2^e, only the bits of 2/pi from weight
 * 2^(1-e) down matter modulo four quarter turns. 64 of them give m 2^e 2/pi mod 4 as a fixed-point
 * number with 62 fractional bits; the next 32 supply the carry.
 */
function sinOfLarge(magnitude: f32, quarterTurns: i32, otherwise: f32): f32 {
  if (!(magnitude > LARGEST_REDUCED)) return otherwise;
  if (magnitude == Infinity) return NaN;
  const bits = reinterpret<u32>(magnitude);
  const m = <u64>((bits & 0x007fffff) | 0x00800000);
  const e = <i32>(bits >> 23) - 150;
  const first = e + 30;
  const words = TWO_OVER_PI_BITS + ((<usize>(first >> 5)) << 2);
  const shift = <u64>(first & 31);
  const upper = ((<u64>load<u32>(words)) << 32) | <u64>load<u32>(words, 4);
  const lower = ((<u64>load<u32>(words, 8)) << 32) | <u64>load<u32>(words, 12);
  // In two steps, since a shift by 64 would be a shift by 0.
  const window = (upper << shift) | ((lower >> 1) >> (63 - shift));
  const turns = m * window + ((m * ((lower << shift) >> 32)) >> 32);
  const quadrant = (turns + ((<u64>1) << 61)) >> 62;
  const r = <f64>(<i64>(turns - (quadrant << 62))) * QUARTER_TURN_62;

  const z = r * r;
  const quarters = <i32>quadrant + quarterTurns;
  // Taylor's series, in float64 and to 2^-28 on |r| <= pi/4.
  const y =
    (quarters & 1) != 0
      ? 1 - (z / 2) * (1 - (z / 12) * (1 - (z / 30) * (1 - (z / 56) * (1 - z / 90))))
      : r * (1 - (z / 6) * (1 - (z / 20) * (1 - (z / 42) * (1 - z / 72))));
  return <f32>((quarters & 2) != 0 ? -y : y);
}

/** y, with the lanes replaced in which `magnitude` is above LARGEST_REDUCED. */
function replaceLargeLanes(magnitude: v128, quarterTurns: i32, y: v128): v128 {
  const y0 = sinOfLarge(f32x4.extract_lane(magnitude, 0), quarterTurns, f32x4.extract_lane(y, 0));
  const y1 = sinOfLarge(f32x4.extract_lane(magnitude, 1), quarterTurns, f32x4.extract_lane(y, 1));
  const y2 = sinOfLarge(f32x4.extract_lane(magnitude, 2), quarterTurns, f32x4.extract_lane(y, 2));
  const y3 = sinOfLarge(f32x4.extract_lane(magnitude, 3), quarterTurns, f32x4.extract_lane(y, 3));
  y = f32x4.replace_lane(f32x4.splat(y0), 1, y1);
  return f32x4.replace_lane(f32x4.replace_lane(y, 2, y2), 3, y3);
}

/** A function of its own, since sine and cosine are seldom met. */
function sinOfMagnitude(magnitude: v128, quarterTurns: i32): v128 {
  const y = sinAfterQuarterTurns(magnitude, quarterTurns);
  const large = f32x4.gt(magnitude, constant(REDUCTION_LIMIT));
  return v128.any_true(large) ? replaceLargeLanes(magnitude, quarterTurns, y) : y;
}

/**
 * Sine of x in radians. Error at most 1.3 ULP, near the zeros too. Odd bit for bit, the sign of
 * zero included; sin(+-Infinity) = NaN. Lanes above 10,000 take a scalar path.
 */
// @ts-ignore: decorator
@inline
export function sin4(x: v128): v128 {
  const sign = v128.and(x, constant(SIGN_BIT));
  return v128.xor(sinOfMagnitude(v128.xor(x, sign), 0), sign);
}

/**
 * Cosine of x in radians. Error at most 1.3 ULP, near the zeros too. Even bit for bit;
 * cos(+-Infinity) = NaN. Lanes above 10,000 take a scalar path.
 */
// @ts-ignore: decorator
@inline
export function cos4(x: v128): v128 {
  return sinOfMagnitude(v128.andnot(x, constant(SIGN_BIT)), 1);
}
