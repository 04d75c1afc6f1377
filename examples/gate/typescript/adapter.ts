// An integration with Tallyport's gate in TypeScript, without a library, as `tallyport gate check` tries it. Only types that
// can be left out are used, so Node 22.18 and newer runs it as it is:
//
//   node adapter.ts 9402 &
//   tallyport gate check http://127.0.0.1:9402/

import { createServer } from "node:http";

type Action = { id: string; [field: string]: unknown };
type Decision = { request_id: string; decision: "allowed" | "declined" | null; confirmation_id: string | null };
type Outcome = "performed" | "failed";
type Order = {
  gate_url: string;
  token: string;
  action: Action;
  wait_seconds: number;
  patience_seconds: number;
  fail: boolean;
};

const LONGEST_WAIT_SECONDS = 60;
const ANSWER_SECONDS = 10;
const TRY_AGAIN = new Set([408, 429, 500, 502, 503, 504]);

/** Whatever goes wrong throws, and then the action is not performed. */
class Gate {
  readonly url: string;
  readonly token: string;
  readonly patienceSeconds: number;

  constructor(url: string, token: string, patienceSeconds: number) {
    this.url = url;
    this.token = token;
    this.patienceSeconds = patienceSeconds;
  }

  /** Performs the action only if it is allowed, and tells what became of it. */
  async ask(action: Action, waitSeconds: number, perform: () => Promise<void>): Promise<void> {
    await this.allowed(action, waitSeconds);
    try {
      await perform();
    } catch (error) {
      await this.report(action.id, "failed", String(error));
      throw error;
    }
    await this.report(action.id, "performed", "");
  }

  private async allowed(action: Action, waitSeconds: number): Promise<void> {
    const until = Date.now() + waitSeconds * 1000;
    for (;;) {
      const left = Math.floor(Math.max(0, until - Date.now()) / 1000);
      const wait = Math.min(left, LONGEST_WAIT_SECONDS);
      const path = `/v1/billable-actions?wait_seconds=${wait}`;
      const said = (await this.insist(path, action, wait + ANSWER_SECONDS)) as Decision;
      if (said.request_id !== action.id) throw new Error(`the answer is about ${said.request_id}`);
      if (said.decision === "allowed") return;
      if (said.decision !== null) throw new Error(`not allowed: ${said.decision}`);
      if (wait === 0 || Date.now() >= until) throw new Error(`waits for confirmation ${said.confirmation_id}`);
    }
  }

  private async report(id: string, outcome: Outcome, detail: string): Promise<void> {
    try {
      await this.insist(`/v1/billable-actions/${encodeURIComponent(id)}/outcome`, { outcome, detail }, ANSWER_SECONDS);
    } catch (error) {
      console.error(`${id} was ${outcome}, and the gate was not told: ${error}`);
    }
  }

  /** Asks until it is answered, with growing, jittered pauses. It is safe: the id makes it the same request. */
  private async insist(path: string, body: unknown, timeoutSeconds: number): Promise<unknown> {
    const until = Date.now() + (this.patienceSeconds + timeoutSeconds) * 1000;
    for (let pause = 200; ; pause = Math.min(2 * pause, 5000)) {
      const answer = await this.send(path, body, timeoutSeconds).catch(() => null);
      if (answer !== null && !TRY_AGAIN.has(answer.status)) {
        if (answer.status !== 200 && answer.status !== 202) throw new Error(`the gate answered ${answer.status}`);
        return answer.json();
      }
      const seconds = Number(answer?.headers.get("retry-after"));
      const wait = seconds > 0 ? Math.min(seconds, 60) * 1000 : pause * (0.5 + Math.random() / 2);
      if (Date.now() + wait >= until) throw new Error("the gate does not decide");
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  private send(path: string, body: unknown, timeoutSeconds: number): Promise<Response> {
    return fetch(this.url + path, {
      method: "POST",
      redirect: "manual", // a redirect is no decision, and the token is not for others
      headers: { authorization: `Bearer ${this.token}`, "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutSeconds * 1000),
    });
  }
}

// ---- the service around it

async function createUser(fail: boolean): Promise<void> {
  if (fail) throw new Error("the user exists already");
}

async function handle(order: Order): Promise<boolean> {
  const gate = new Gate(order.gate_url, order.token, order.patience_seconds);
  try {
    await gate.ask(order.action, order.wait_seconds, () => createUser(order.fail));
  } catch (error) {
    console.error(`${order.action.id}: not performed: ${error}`);
    return false;
  }
  return true;
}

createServer(async (request, response) => {
  const blocks: Buffer[] = [];
  for await (const block of request) blocks.push(block as Buffer);
  const performed = await handle(JSON.parse(Buffer.concat(blocks).toString()) as Order);
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ performed }));
}).listen(Number(process.argv[2]), "127.0.0.1");
