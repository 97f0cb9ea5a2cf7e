import { defineConfig } from "vite";

export default defineConfig({
  // Wherever it is put, it finds its own files.
  base: "./",
  // The client lies beside this page and has its own copy.
  resolve: { dedupe: ["@bufbuild/protobuf"] },
  server: { port: 5173, strictPort: true },
});
