/** What Vite provides: versions from its configuration, and files as their addresses. */
declare const __VERSIONS__: Readonly<Record<string, string>>;

declare module "*?url" {
  const url: string;
  export default url;
}

declare module "*.css";
