/**
 * Every message that the sources can throw, or put into a report, read off the sources themselves: an
 * expression that builds a message is evaluated as far as it is literal, and "…" stands for the rest.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import ts from "typescript";

/** What stands for a part that is known at run time only. */
export const HOLE = "…";

export interface SourceMessage {
  /** With `HOLE`s. */
  readonly text: string;
  /** Where it is built: path and line. */
  readonly where: string;
  /** Whether it may be no more than a part of another message. */
  readonly partial: boolean;
}

/** Fields of statuses, reports and errors that hold sentences. */
const reportFields = ["reason", "failover", "choice", "stages"];
/** Functions whose texts are sentences of a report, wherever they end up. */
const sentenceFunctions = /^(judge|describeError)$|[a-z]Failures?$/;
/** A helper is followed to its callers, and a caller that passes its own argument on to its callers. */
const DEEPEST = 4;

type Callable = ts.FunctionLikeDeclaration & { readonly body?: ts.Node };
interface Held {
  /** The alternatives of the text that a parameter may hold. */
  readonly texts: readonly string[];
  /** What it holds where a number is written out. Messages show numbers as `HOLE`s all the same. */
  readonly number: number | null;
}
/** What is known of parameters. */
type Known = ReadonlyMap<ts.ParameterDeclaration, Held>;

const nothing: Known = new Map();

/** The messages of all `.ts` files under `folder`, generated ones left out. */
export function collectMessages(folder: string): SourceMessage[] {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const files = names
    .filter((name) => /\.tsx?$/.test(name) && !/generated|golden|\.d\.ts$/.test(name))
    .sort()
    .map((name) => {
      const path = join(folder, name);
      return ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true);
    });
  return new Collector(files).collect();
}

class Collector {
  readonly #files: readonly ts.SourceFile[];
  readonly #classes = new Map<string, ts.ClassDeclaration>();
  readonly #functions = new Map<string, Callable[]>();
  readonly #calls = new Map<string, (ts.CallExpression | ts.NewExpression)[]>();
  /** Constants of modules, wherever they are used. */
  readonly #constants = new Map<string, ts.Expression[]>();
  readonly #found = new Map<string, SourceMessage>();

  constructor(files: readonly ts.SourceFile[]) {
    this.#files = files;
    for (const file of files) visit(file, (node) => this.#index(node));
  }

  collect(): SourceMessage[] {
    for (const file of this.#files) {
      visit(file, (node) => {
        if (ts.isNewExpression(node)) this.#addError(node);
        else if (ts.isPropertyAssignment(node) && isReportField(node.name)) {
          this.#add(node.initializer);
        } else if (ts.isShorthandPropertyAssignment(node) && isReportField(node.name)) {
          this.#add(node.name);
        } else if (isReportAssignment(node)) this.#add(node.right);
        else if (isSentence(node)) this.#add(node, true);
      });
    }
    return [...this.#found.values()];
  }

  #index(node: ts.Node): void {
    if (ts.isClassDeclaration(node) && node.name) this.#classes.set(node.name.text, node);
    if (ts.isVariableDeclaration(node) && ts.isSourceFile(node.parent.parent.parent)) {
      if (ts.isIdentifier(node.name) && node.initializer) {
        push(this.#constants, node.name.text, node.initializer);
      }
    }
    const called =
      ts.isCallExpression(node) || ts.isNewExpression(node) ? nameOf(node.expression) : null;
    if (called) push(this.#calls, called, node as ts.CallExpression);
    if (!isCallable(node)) return;
    const name = nameOfCallable(node);
    if (name) push(this.#functions, name, node);
  }

  #addError(node: ts.NewExpression): void {
    const name = nameOf(node.expression);
    if (!name?.endsWith("Error")) return;
    const builder = this.#classes.get(name)?.members.find(ts.isConstructorDeclaration);
    if (!builder) {
      const message = node.arguments?.[0];
      if (message) this.#add(message);
      return;
    }
    // The class builds the message: its parameters are this expression's arguments.
    visit(builder, (inner) => {
      const isSuper = ts.isCallExpression(inner) && inner.expression.kind === superKeyword;
      if (!isSuper || !inner.arguments[0]) return;
      for (const text of this.#inAllCallers(node, (known) => {
        const own = this.#bind(builder, node, known);
        return this.#evaluate(inner.arguments[0]!, own, false);
      })) {
        this.#record(text, node);
      }
    });
  }

  #add(expression: ts.Expression, partial = false): void {
    const texts = this.#inAllCallers(expression, (known) =>
      this.#evaluate(expression, known, false),
    );
    for (const text of texts) this.#record(text, expression, partial);
  }

  #record(text: string, node: ts.Node, partial = false): void {
    const tidy = text.replaceAll(/…(\s*…)*/g, HOLE).trim();
    // What is all hole says nothing, and comes from elsewhere, where it is collected.
    if (!/[a-z]{2}/i.test(tidy.replaceAll(HOLE, ""))) return;
    // Backend names, file names and the like are fields of the same name, but no sentences.
    if (tidy.split(" ").filter((word) => /[a-z]{2}/i.test(word)).length < 2) return;
    const file = node.getSourceFile();
    const { line } = file.getLineAndCharacterOfPosition(node.getStart());
    if (!this.#found.has(tidy)) {
      this.#found.set(tidy, { text: tidy, where: `${file.fileName}:${line + 1}`, partial });
    }
  }

  /** What `evaluate` gives for each call of the functions around `node` whose parameters matter. */
  #inAllCallers(node: ts.Node, evaluate: (known: Known) => readonly string[]): readonly string[] {
    let known: readonly Known[] = [nothing];
    const around = enclosing(node);
    const outer = around && nameOfCallable(around);
    if (around && outer && usesParameter(node, around)) {
      known = this.#callersOf(around, outer, 1);
    }
    return [...new Set(known.flatMap((each) => evaluate(each)))];
  }

  #callersOf(callee: Callable, name: string, depth: number): readonly Known[] {
    const calls = (this.#calls.get(name) ?? []).filter((call) =>
      this.#calleesOf(call).includes(callee),
    );
    if (calls.length === 0 || depth > DEEPEST) return [nothing];
    return calls.flatMap((call) => {
      const around = enclosing(call);
      const outer = around && nameOfCallable(around);
      const passesOn = around && outer && around !== callee && usesParameter(call, around);
      const contexts = passesOn ? this.#callersOf(around, outer, depth + 1) : [nothing];
      return contexts.map((context) => this.#bind(callee, call, context));
    });
  }

  /** The functions that a call may mean: its own file's, or else what other files export. */
  #calleesOf(call: ts.CallExpression | ts.NewExpression): readonly Callable[] {
    const file = call.getSourceFile();
    const named = this.#functions.get(nameOf(call.expression) ?? "") ?? [];
    if (!ts.isIdentifier(call.expression)) {
      return named.filter((callee) => callee.getSourceFile() === file || isExported(callee));
    }
    const own = named.filter((callee) => callee.getSourceFile() === file && !isMethod(callee));
    const visible = own.filter((callee) => isVisible(callee, call.pos));
    if (visible.length > 0) return visible;
    // One that is passed on as an argument is called by the parameter's name: the same, mostly.
    const around = enclosing(call);
    if (around && parameterOf(around, call.expression.text)) return own;
    const others = named.filter((callee) => !isMethod(callee) && isExported(callee));
    const source = importedFrom(file, call.expression.text);
    const imported = others.filter((callee) => callee.getSourceFile().fileName === source);
    return imported.length > 0 ? imported : others;
  }

  #bind(callee: Callable, call: ts.CallExpression | ts.NewExpression, known: Known): Known {
    const bound = new Map(known);
    callee.parameters.forEach((parameter, i) => {
      const argument = call.arguments?.[i] ?? parameter.initializer;
      bound.set(parameter, {
        texts: argument ? this.#evaluate(argument, known, true) : [HOLE],
        number: argument ? numberOf(argument, known) : null,
      });
    });
    return bound;
  }

  /** The alternatives of the text that an expression gives. */
  #evaluate(node: ts.Expression, known: Known, inner: boolean): readonly string[] {
    const all = (...parts: (string | ts.Expression)[]) =>
      parts.reduce<readonly string[]>(
        (heads, part) => {
          const tails = typeof part === "string" ? [part] : this.#evaluate(part, known, true);
          return heads.flatMap((head) => tails.map((tail) => head + tail));
        },
        [""],
      );
    if (ts.isStringLiteralLike(node)) return [node.text];
    if (ts.isTemplateExpression(node)) {
      const parts = node.templateSpans.flatMap((span) => [span.expression, span.literal.text]);
      return all(node.head.text, ...parts);
    }
    if (ts.isBinaryExpression(node)) {
      const { kind } = node.operatorToken;
      if (kind === ts.SyntaxKind.PlusToken) return all(node.left, node.right);
      const isChoice = kind === ts.SyntaxKind.QuestionQuestionToken || kind === barBar;
      return isChoice ? this.#either([node.left, node.right], known, inner) : [HOLE];
    }
    if (ts.isConditionalExpression(node)) {
      const holds = decide(node.condition, known);
      const branches = [node.whenTrue, node.whenFalse].filter((_, i) => holds !== (i === 1));
      return this.#either(branches, known, inner);
    }
    if (ts.isParenthesizedExpression(node) || ts.isAsExpression(node)) {
      return this.#evaluate(node.expression, known, inner);
    }
    if (ts.isAwaitExpression(node)) return this.#evaluate(node.expression, known, inner);
    if (ts.isIdentifier(node)) return this.#valuesOf(node, known, inner);
    // A call within a sentence shows a value, if it is given one; one that is the sentence, or words
    // put together elsewhere in the same function, is followed.
    if (ts.isCallExpression(node) && (!inner || this.#isWording(node))) {
      return this.#returned(node, known);
    }
    return [HOLE];
  }

  #either(nodes: readonly ts.Expression[], known: Known, inner: boolean): readonly string[] {
    return [...new Set(nodes.flatMap((node) => this.#evaluate(node, known, inner)))];
  }

  #valuesOf(name: ts.Identifier, known: Known, inner: boolean): readonly string[] {
    for (let scope: ts.Node | undefined = name; scope; scope = scope.parent) {
      const parameter = isCallable(scope) ? parameterOf(scope, name.text) : undefined;
      if (parameter) return known.get(parameter)?.texts ?? [HOLE];
      if (!isCallable(scope) && !ts.isBlock(scope)) continue;
      const values = definitionsIn(scope, name);
      if (values.length > 0) return this.#either(values, known, inner);
    }
    const constants = this.#constants.get(name.text) ?? [];
    return constants.length === 1 ? this.#evaluate(constants[0]!, known, inner) : [HOLE];
  }

  /** Whether a call is one of a closure that takes nothing. */
  #isWording(call: ts.CallExpression): boolean {
    const [callee, ...others] = this.#calleesOf(call);
    if (!callee || others.length > 0 || call.arguments.length > 0) return false;
    return enclosing(callee) !== null && enclosing(callee) === enclosing(call);
  }

  #returned(call: ts.CallExpression, known: Known): readonly string[] {
    const functions = this.#calleesOf(call);
    if (functions.length !== 1 || ts.isConstructorDeclaration(functions[0]!)) return [HOLE];
    const [callee] = functions;
    const bound = this.#bind(callee!, call, known);
    const { body } = callee!;
    if (!body) return [HOLE];
    if (ts.isArrowFunction(callee!) && !ts.isBlock(body)) {
      return this.#evaluate(body as ts.Expression, bound, true);
    }
    const results: string[] = [];
    visit(body, (node) => {
      if (!ts.isReturnStatement(node) || enclosing(node) !== callee || !node.expression) return;
      results.push(...this.#evaluate(node.expression, bound, true));
    });
    return results;
  }
}

const superKeyword = ts.SyntaxKind.SuperKeyword;
const barBar = ts.SyntaxKind.BarBarToken;

function visit(node: ts.Node, each: (node: ts.Node) => void): void {
  each(node);
  ts.forEachChild(node, (child) => visit(child, each));
}

function push<Value>(map: Map<string, Value[]>, key: string, value: Value): void {
  const values = map.get(key);
  if (values) values.push(value);
  else map.set(key, [value]);
}

/** A text of some words, as a whole, in a function that makes sentences for reports. */
function isSentence(node: ts.Node): node is ts.Expression {
  if (!isText(node) || isText(node.parent)) return false;
  for (let scope = enclosing(node); scope; scope = enclosing(scope)) {
    if (sentenceFunctions.test(nameOfCallable(scope)!)) return true;
  }
  return false;
}

/** `this.reason = …`. */
function isReportAssignment(node: ts.Node): node is ts.BinaryExpression {
  if (!ts.isBinaryExpression(node)) return false;
  const { left, operatorToken } = node;
  const isAssignment = operatorToken.kind === ts.SyntaxKind.EqualsToken;
  return (
    isAssignment && ts.isPropertyAccessExpression(left) && reportFields.includes(left.name.text)
  );
}

function isText(node: ts.Node): boolean {
  if (ts.isTemplateSpan(node)) return isText(node.parent);
  if (ts.isBinaryExpression(node)) return isText(node.left) || isText(node.right);
  return ts.isTemplateExpression(node) || ts.isStringLiteral(node);
}

function isReportField(name: ts.PropertyName): boolean {
  return ts.isIdentifier(name) && reportFields.includes(name.text);
}

function isCallable(node: ts.Node): node is Callable {
  return ts.isFunctionLike(node) && "body" in node;
}

function isExported(node: Callable): boolean {
  const isMember = ts.isMethodDeclaration(node) || ts.isConstructorDeclaration(node);
  const declaration = ts.isFunctionDeclaration(node) ? node : node.parent?.parent?.parent;
  if (isMember || !declaration || !ts.canHaveModifiers(declaration)) return isMember;
  const modifiers = ts.getModifiers(declaration) ?? [];
  return modifiers.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
}

/** What is called as a property. A constructor is called by the name of its class. */
function isMethod(node: Callable): boolean {
  return ts.isMethodDeclaration(node) || ts.isAccessor(node);
}

/** The file of this project from which `file` imports a name, if it does. */
function importedFrom(file: ts.SourceFile, name: string): string | null {
  for (const statement of file.statements) {
    if (!ts.isImportDeclaration(statement)) continue;
    const bindings = statement.importClause?.namedBindings;
    if (!bindings || !ts.isNamedImports(bindings)) continue;
    if (!bindings.elements.some((element) => element.name.text === name)) continue;
    const { text } = statement.moduleSpecifier as ts.StringLiteral;
    return text.startsWith(".") ? join(dirname(file.fileName), text) : null;
  }
  return null;
}

/** A number that is written out, here or by the caller. */
function numberOf(node: ts.Expression, known: Known): number | null {
  if (ts.isNumericLiteral(node)) return Number(node.text);
  if (!ts.isIdentifier(node)) return null;
  const around = enclosing(node);
  const parameter = around && parameterOf(around, node.text);
  return (parameter && known.get(parameter)?.number) ?? null;
}

/** Whether a comparison of such numbers holds; null if that is known at run time only. */
function decide(condition: ts.Expression, known: Known): boolean | null {
  if (!ts.isBinaryExpression(condition)) return null;
  const [left, right] = [numberOf(condition.left, known), numberOf(condition.right, known)];
  if (left === null || right === null) return null;
  const { kind } = condition.operatorToken;
  if (kind === ts.SyntaxKind.GreaterThanToken) return left > right;
  return kind === ts.SyntaxKind.EqualsEqualsEqualsToken ? left === right : null;
}

/** The last name of what is called: f of `f(…)`, `x.f(…)`, `this.#f(…)`. */
function nameOf(node: ts.Expression): string | null {
  if (ts.isIdentifier(node)) return node.text;
  return ts.isPropertyAccessExpression(node) ? node.name.text : null;
}

function nameOfCallable(node: ts.Node): string | null {
  if (!isCallable(node)) return null;
  if (ts.isConstructorDeclaration(node)) return node.parent.name?.text ?? null;
  if (node.name && (ts.isIdentifier(node.name) || ts.isPrivateIdentifier(node.name))) {
    return node.name.text;
  }
  const { parent } = node;
  return ts.isVariableDeclaration(parent) && ts.isIdentifier(parent.name) ? parent.name.text : null;
}

function enclosing(node: ts.Node): Callable | null {
  let scope: ts.Node | undefined = node.parent;
  // A callback has no callers to be found: what it throws, its function throws.
  while (scope && !(isCallable(scope) && nameOfCallable(scope))) scope = scope.parent;
  return scope ? (scope as Callable) : null;
}

function parameterOf(node: Callable, name: string): ts.ParameterDeclaration | undefined {
  return node.parameters.find(
    (parameter) => ts.isIdentifier(parameter.name) && parameter.name.text === name,
  );
}

/** Whether an expression depends on a parameter of `around`, directly or by way of a constant. */
function usesParameter(node: ts.Node, around: Callable): boolean {
  let uses = false;
  visit(node, (inner) => {
    if (!ts.isIdentifier(inner) || uses) return;
    uses =
      parameterOf(around, inner.text) !== undefined ||
      definitionsIn(around, inner).some((value) => value !== node && usesParameter(value, around));
  });
  return uses;
}

/** What a variable of this name is set to within `scope`, before it is used. */
function definitionsIn(scope: ts.Node, { text, pos }: ts.Identifier): ts.Expression[] {
  const values: ts.Expression[] = [];
  visit(scope, (node) => {
    if (node.pos > pos) return;
    if (ts.isVariableDeclaration(node) && ts.isIdentifier(node.name) && node.name.text === text) {
      const isDefinition = node.initializer && !contains(node, pos) && isVisible(node, pos);
      if (isDefinition) values.push(node.initializer);
    }
    if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.EqualsToken) {
      const isIt = ts.isIdentifier(node.left) && node.left.text === text;
      if (isIt && !contains(node, pos)) values.push(node.right);
    }
  });
  return values;
}

/** Whether a declaration's name means it at a position of the same file. */
function isVisible(declaration: ts.Node, position: number): boolean {
  let scope = declaration.parent;
  while (!ts.isBlock(scope) && !ts.isSourceFile(scope)) scope = scope.parent;
  return contains(scope, position);
}

function contains(node: ts.Node, position: number): boolean {
  return node.pos <= position && position < node.end;
}
