const INTRO = `# Commands and settings

<!-- Generated from the commands' own help by npm run generate. -->

The output of \`quiesce --help\` and \`quiesce VERB --help\`. See also the [error codes](errors.md),
the settings of each [engine](engines/), and the [flags of the webhook](webhook.md#running-it) with
their defaults.
`;

/** docs/commands.md: the help of every verb, as the command line prints it. */
export async function commandsPage({ overview, helpFor, SHIM_VERBS, COMMANDS }) {
  const pages = SHIM_VERBS.map((verb) => [verb, helpFor(verb)]);
  const summaries = [];
  for (const [verb, { summary, load }] of Object.entries(COMMANDS)) {
    summaries.push([verb, summary]);
    const { run } = await load();
    pages.push([verb, await printed(() => run(['--help']))]);
  }
  const block = (text) => `\`\`\`text\n${text.trim()}\n\`\`\`\n`;
  const sections = pages.map(([verb, text]) => `## ${verb}\n${block(text)}`);
  return [INTRO, block(overview(summaries)), ...sections].join('\n');
}

async function printed(work) {
  const write = process.stdout.write.bind(process.stdout);
  let text = '';
  process.stdout.write = (part) => {
    text += part;
    return true;
  };
  try {
    await work();
  } finally {
    process.stdout.write = write;
  }
  return text;
}
