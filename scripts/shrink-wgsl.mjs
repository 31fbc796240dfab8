/**
 * Makes shaders small: no comments, no needless spaces, short names.
 *
 * A name stays if anything but the shaders knows it: WGSL, or the TypeScript that writes code for them.
 * Examples in sections go, as the host replaces them.
 * All shaders are given together, since they import each other: a name that more than one function can
 * see becomes the same everywhere. Outside of functions, lines stay lines, for `shader.ts` and
 * `layout.ts` look at their beginnings: `//#if`, `const NAME=…;`, `alias Name=…;`, members of structures.
 */
import ts from "typescript";

/**
 * @typedef {object} HostNames
 * @property {Set<string>} names words of the host's texts, and properties that it may look up by name
 * @property {Set<string>} code those of texts that are code, which may name what is declared in a function
 * @property {string[]} prefixes how names begin that the host completes, such as `start_`
 * @property {string[]} suffixes how they end, such as `_now`
 */

/** All names that TypeScript sources may write into a shader, or look for in one; what errors say is neither. */
export function hostNames(sources) {
  const found = { names: new Set(), code: new Set(), prefixes: [], suffixes: [] };
  const addText = (text) => {
    const isCode = /[^\w\s.,:'"-]/.test(text);
    for (const [word] of text.matchAll(/[A-Za-z_]\w*/g)) {
      found.names.add(word);
      if (isCode) found.code.add(word);
    }
  };
  const addName = (name) => {
    if (name && ts.isIdentifier(name)) found.names.add(name.text);
  };
  const visit = (node) => {
    if (ts.isImportDeclaration(node) || ts.isThrowStatement(node)) return;
    if (ts.isStringLiteralLike(node)) addText(node.text);
    if (ts.isTemplateExpression(node)) {
      const texts = [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)];
      for (const [i, text] of texts.entries()) {
        addText(text);
        const [prefix] = /[A-Za-z]\w*_$/.exec(text) ?? [];
        const [suffix] = /^_\w*[A-Za-z]\w*/.exec(text) ?? [];
        if (prefix && i < texts.length - 1) found.prefixes.push(prefix);
        if (suffix && i > 0) found.suffixes.push(suffix);
      }
    }
    if (ts.isPropertyAssignment(node) || ts.isShorthandPropertyAssignment(node)) addName(node.name);
    if (ts.isBinaryExpression(node) && ts.isPropertyAccessExpression(node.left)) {
      addName(node.left.name);
    }
    ts.forEachChild(node, visit);
  };
  for (const source of sources)
    visit(ts.createSourceFile("host.ts", source, ts.ScriptTarget.ES2022));
  return found;
}

const token =
  /\/\/#.*|[A-Za-z_]\w*|0[xX][\da-fA-F]+[iu]?|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[iufh]?|->|(?:<<|>>|[-+*/%&|^<>=!])=|<<|>>|&&|\|\||\+\+|--|\S/gu;
const isName = (text) => /^[A-Za-z_]/.test(text);
const isDirective = (text) => text.startsWith("//#");

/**
 * A line's tokens; spaces and comments are none, a directive is one.
 *
 * @typedef {object} Line
 * @property {string[]} code
 * @property {object | null} body the function that the line lies in, its first line included
 * @property {string | null} structure the structure that it lies in
 */

/** @throws Error where functions do not end, say because one branch of a condition opens a brace */
function linesOf(path, text) {
  const lines = [];
  let depth = 0;
  let body = null;
  let structure = null;
  for (const line of text.split("\n")) {
    const code = line.replace(/\/\/(?!#).*$/, "").match(token);
    if (!code) continue;
    if (code.includes("fn")) {
      if (depth > 0) break;
      body = { names: new Map() };
    } else if (code[0] === "struct") structure = code[1];
    lines.push({ code, body, structure });
    for (const text of code) depth += Number(text === "{") - Number(text === "}");
    if (depth < 0) break;
    if (depth === 0 && code.includes("}")) body = structure = null;
  }
  if (depth !== 0)
    throw new Error(`gpu/${path}: expected braces in pairs, in every branch of //#if`);
  return lines;
}

/** Sections without the examples in them. */
function withoutExamples(lines) {
  /** The directives that are open, from the outermost section on. */
  let open = 0;
  return lines.filter(({ code: [first] }) => {
    const before = open;
    if (/^\/\/#section/.test(first) || (open > 0 && /^\/\/#(?:if|widths)/.test(first))) open++;
    if (open > 0 && first.startsWith("//#end")) open--;
    return before === 0 || open === 0;
  });
}

/**
 * @param {Record<string, string>} shaders WGSL by path, as in gpu/
 * @param {HostNames | null} host null to leave lines and names as they are
 * @returns {Record<string, string>}
 */
export function shrinkShaders(shaders, host) {
  const files = Object.entries(shaders).map(([path, text]) => {
    const lines = linesOf(path, text);
    return [path, host ? withoutExamples(lines) : lines];
  });
  const all = files.flatMap(([, lines]) => lines);
  const common = host ? chooseNames(all, host) : new Map();
  const shrunk = files.map(([path, lines]) => {
    let text = "";
    for (const [i, { code, body }] of lines.entries()) {
      const names = code.map((name, i) =>
        renamed(name, [code[i - 1] === "." ? null : body?.names, common]),
      );
      const before = lines[i - 1];
      // Within a function, no line is looked for.
      const isInner = host && body && body === before?.body;
      const runsOn = isInner && !isDirective(code[0]) && !isDirective(before.code[0]);
      const line = names.reduce((line, name) => line + gap(line, name) + name, "");
      text += before ? (runsOn ? gap(text, line) : "\n") + line : line;
    }
    return [path, text];
  });
  return Object.fromEntries(shrunk);
}

/** What has to stand between two tokens. */
function gap(before, after) {
  const isBetweenWords = /\w$/.test(before) && /^\.?\w/.test(after);
  // Operators might become another one: `a - -b`, and `array<f32> = …`.
  const isBetweenOperators = /[-+*/%&|^<>=!~]$/.test(before) && /^[-+*/%&|^<>=!~]/.test(after);
  return isBetweenWords || isBetweenOperators ? " " : "";
}

/** The name without the width that `shader.ts` rewrites, and the width: `tanh_4` is `tanh`, `_4`. */
function partsOf(name) {
  const [, base, width] = /^(.*?)(_[124])?$/.exec(name);
  return [base, width ?? ""];
}

function renamed(text, maps) {
  if (!isName(text)) return text;
  const [base, width] = partsOf(text);
  const map = maps.find((names) => names?.has(base));
  return (map?.get(base) ?? base) + width;
}

/**
 * What names become, the commonest the shortest. Fills in the names that only one function sees, and
 * returns all others.
 */
function chooseNames(lines, host) {
  /** How often names occur, and which of them each function uses. */
  const counts = new Map();
  const bodies = new Map();
  const local = new Set();
  const common = new Set();
  const wgsl = new Set(wgslWords);
  for (const { code, body, structure } of lines) {
    if (isDirective(code[0])) continue;
    const used = bodies.get(body) ?? new Set();
    if (body) bodies.set(body, used);
    code.forEach((text, i) => {
      if (!isName(text)) return;
      const [base] = partsOf(text);
      counts.set(base, (counts.get(base) ?? 0) + 1);
      used.add(base);
      const isTyped = code[i + 1] === ":";
      const isMember = code[i - 1] === ".";
      const isFunction = code[i - 1] === "fn";
      if (isFunction || !body) {
        // A member that keeps its name leaves it to locals to have others.
        const isKeptMember = structure && isTyped && host.names.has(base);
        if (!isKeptMember && (isTyped || isDeclared(code, i))) common.add(base);
      } else if (!isMember && (isTyped || isDeclared(code, i))) local.add(base);
    });
  }
  const { prefixes, suffixes } = host;
  const isFixed = (name) =>
    wgsl.has(name) ||
    /^(?:[xyzw]{1,4}|[rgba]{1,4})$/.test(name) ||
    prefixes.some((prefix) => name.startsWith(prefix)) ||
    suffixes.some((suffix) => name.endsWith(suffix));
  const isKept = (name) => isFixed(name) || host.names.has(name);
  const isLocal = (name) =>
    local.has(name) && !common.has(name) && !isFixed(name) && !host.code.has(name);
  const isCommon = (name) => common.has(name) && !isKept(name);
  const untouched = [...counts.keys()].filter((name) => !isLocal(name) && !isCommon(name));
  const taken = new Set([...wgsl, ...host.names, ...untouched]);
  const byCount = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  const names = shorten(byCount.map(([name]) => name).filter(isCommon), taken);
  for (const [body, used] of bodies) {
    const visible = [...used].map((name) => names.get(name) ?? name);
    // In the order in which they are met, functions that are alike get names that are alike.
    body.names = shorten([...used].filter(isLocal), new Set([...taken, ...visible]));
  }
  return names;
}

function shorten(names, taken) {
  const free = freeNames(taken);
  return new Map(names.map((name) => [name, free.next().value]));
}

/** Whether token i of a line is what a declaration declares. */
function isDeclared(code, i) {
  let before = i - 1;
  // Past the template of `var<workgroup>`.
  if (code[before] === ">") before = code.lastIndexOf("<", before) - 1;
  return /^(?:fn|struct|alias|const|let|var|override)$/.test(code[before]);
}

/** Without digits: the host writes names such as `v7`, and widths end in them. */
function* freeNames(taken) {
  const letters = [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"];
  for (let names = letters; ; names = names.flatMap((name) => letters.map((l) => name + l))) {
    for (const name of names) if (!taken.has(name)) yield name;
  }
}

/** Keywords, reserved words, and names that are declared before a shader begins. */
const wgslWords = `
main
alias break case const const_assert continue continuing default diagnostic discard else enable false fn
for if let loop override requires return struct switch true var while

NULL Self abstract active alignas alignof as asm asm_fragment async attribute auto await become cast
catch class co_await co_return co_yield coherent column_major common compile compile_fragment concept
const_cast consteval constexpr constinit crate debugger decltype delete demote demote_to_helper do
dynamic_cast enum explicit export extends extern external fallthrough filter final finally friend from
fxgroup get goto groupshared highp impl implements import inline instanceof interface layout lowp macro
macro_rules match mediump meta mod module move mut mutable namespace new nil noexcept noinline
nointerpolation non_coherent noncoherent noperspective null nullptr of operator package packoffset
partition pass patch pixelfragment precise precision premerge priv protected pub public readonly ref
regardless register reinterpret_cast require resource restrict self set shared sizeof smooth snorm static
static_assert static_cast std subroutine super target template this thread_local throw trait try type
typedef typeid typename typeof union unless unorm unsafe unsized use using varying virtual volatile wgsl
where with writeonly yield

bool i32 u32 f32 f16 array atomic ptr vec2 vec3 vec4 vec2f vec3f vec4f vec2i vec3i vec4i vec2u vec3u vec4u
vec2h vec3h vec4h mat2x2 mat2x3 mat2x4 mat3x2 mat3x3 mat3x4 mat4x2 mat4x3 mat4x4 mat2x2f mat2x3f mat2x4f
mat3x2f mat3x3f mat3x4f mat4x2f mat4x3f mat4x4f sampler sampler_comparison
function private workgroup uniform storage handle read write read_write
align binding builtin compute fragment group id interpolate invariant location must_use size vertex
workgroup_size
vertex_index instance_index position front_facing frag_depth sample_index sample_mask
local_invocation_id local_invocation_index global_invocation_id workgroup_id num_workgroups
subgroup_invocation_id subgroup_size subgroup_id num_subgroups clip_distances primitive_index
f16 clip_distances dual_source_blending subgroups subgroups_f16

bitcast all any select arrayLength abs acos acosh asin asinh atan atanh atan2 ceil clamp cos cosh
countLeadingZeros countOneBits countTrailingZeros cross degrees determinant distance dot dot4U8Packed
dot4I8Packed exp exp2 extractBits faceForward firstLeadingBit firstTrailingBit floor fma fract frexp
insertBits inverseSqrt ldexp length log log2 max min mix modf normalize pow quantizeToF16 radians reflect
refract reverseBits round saturate sign sin sinh smoothstep sqrt step tan tanh transpose trunc
dpdx dpdxCoarse dpdxFine dpdy dpdyCoarse dpdyFine fwidth fwidthCoarse fwidthFine
atomicLoad atomicStore atomicAdd atomicSub atomicMax atomicMin atomicAnd atomicOr atomicXor
atomicExchange atomicCompareExchangeWeak old_value exchanged whole
pack4x8snorm pack4x8unorm pack4xI8 pack4xU8 pack4xI8Clamp pack4xU8Clamp pack2x16snorm pack2x16unorm
pack2x16float unpack4x8snorm unpack4x8unorm unpack4xI8 unpack4xU8 unpack2x16snorm unpack2x16unorm
unpack2x16float storageBarrier textureBarrier workgroupBarrier workgroupUniformLoad subgroupBarrier
subgroupAdd subgroupExclusiveAdd subgroupInclusiveAdd subgroupAll subgroupAnd subgroupAny subgroupBallot
subgroupBroadcast subgroupBroadcastFirst subgroupElect subgroupMax subgroupMin subgroupMul
subgroupExclusiveMul subgroupInclusiveMul subgroupOr subgroupShuffle subgroupShuffleDown
subgroupShuffleUp subgroupShuffleXor subgroupXor quadBroadcast quadSwapDiagonal quadSwapX quadSwapY
`.match(/\w+/g);
