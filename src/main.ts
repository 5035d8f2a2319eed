// The program: runs what was typed, and ends with its exit code.
import { processIo } from './cli/io.ts';
import { runCli } from './cli/program.ts';

// whoever reads our output may stop reading: `parley user ls | head`
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

const code = await runCli(process.argv.slice(2), processIo());
// what is still written goes out first; then nothing that somebody left open holds the process
process.exitCode = code;
await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write('', done))));
process.exit(code);
