// Debian's Chromium for a test in another language: a JSON object a line in, one a line out.
//
//   node browser.mjs PLAYWRIGHT CHROMIUM
//   {"do":"open","url":…,"width":…,"height":…,"dark":bool,"still":bool}   a page anew; still: motion is not wanted
//   {"do":"evaluate","expression":…}                         its value
//   {"do":"wait","expression":…,"seconds":…}                 until it is true
//   {"do":"press","key":…}    {"do":"picture","path":…,"whole":bool}
//   {"do":"said"}             errors of the page, and the requests that it made, since it was opened
//
// The answer is {"value":…} or {"error":…}.
import readline from 'node:readline';

const [playwright, program] = process.argv.slice(2);
const {chromium} = await import(playwright);
const browser = await chromium.launch({executablePath: program, args: ['--no-sandbox', '--disable-gpu']});
let context, page, errors, requests;

async function open({url, width = 1200, height = 900, dark = false, still = false}) {
  await context?.close();
  context = await browser.newContext({viewport: {width, height}, colorScheme: dark ? 'dark' : 'light',
                                      reducedMotion: still ? 'reduce' : 'no-preference'});
  page = await context.newPage();
  errors = [];
  requests = [];
  page.on('pageerror', error => errors.push(String(error)));
  // What a server that is away causes is told by the page itself.
  page.on('console', line => {
    if (line.type() === 'error' && !/Failed to load resource/.test(line.text())) errors.push(line.text());
  });
  page.on('request', request => requests.push(request.url()));
  await page.goto(url);
}

const commands = {
  open,
  evaluate: ({expression}) => page.evaluate(expression),
  // By hand: the library's own needs eval, which a page's policy may forbid.
  wait: async ({expression, seconds}) => {
    const end = Date.now() + seconds * 1000;
    while (!(await page.evaluate(expression))) {
      if (Date.now() > end) throw new Error(`in ${seconds} s not: ${expression}`);
      await new Promise(later => setTimeout(later, 200));
    }
  },
  press: ({key}) => page.keyboard.press(key),
  picture: async ({path, whole = false}) => { await page.screenshot({path, fullPage: whole}); },
  said: () => ({errors, requests}),
};

for await (const line of readline.createInterface({input: process.stdin})) {
  let answer;
  try {
    const command = JSON.parse(line);
    answer = {value: (await commands[command.do](command)) ?? null};
  } catch (error) {
    answer = {error: String(error)};
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
}
await browser.close();
