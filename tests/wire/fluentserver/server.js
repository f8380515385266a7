// A Forward server written by others, for the tests: prints one JSON line per event, acknowledges chunks.
//
//   node server.js OPTIONS     OPTIONS: what FluentServer takes, as JSON; in tlsOptions names of files stand for ca, cert, key
//
// The first line it prints is {"port": number}. It ends when its standard input does.
"use strict";

const fs = require("fs");

const { FluentServer, EventTime } = require("@fluent-org/logger");

const options = JSON.parse(process.argv[2] || "{}");
for (const name of ["ca", "cert", "key"]) {
  if (options.tlsOptions && options.tlsOptions[name]) {
    options.tlsOptions[name] = fs.readFileSync(options.tlsOptions[name]);
  }
}

const server = new FluentServer({ listenOptions: { host: "127.0.0.1", port: 0 }, ...options });

function print(value) {
  process.stdout.write(JSON.stringify(value) + "\n");
}

server.on("entry", (tag, time, record) => {
  const isEventTime = time instanceof EventTime;
  print({ tag, time: isEventTime ? [time.epoch, time.nano] : time, record });
});

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));

server.listen().then(() => print({ port: server.port }));
