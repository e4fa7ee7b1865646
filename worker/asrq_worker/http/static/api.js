// The gateway's routes, asked with the key of this tab.

const KEY = "asrq.key";

/** Something that a person is told: a sentence, and often what to do about it. */
export class Problem extends Error {
  constructor(message, { hint = null, status = 0, retryable = false, after = null } = {}) {
    super(message);
    Object.assign(this, { hint, status, retryable, after });
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

export const address = (path) => new URL(path, document.baseURI).href;

function headers(more = {}) {
  const found = new Headers(more);
  try {
    if (key.get()) found.set("Authorization", `Bearer ${key.get()}`);
  } catch {
    throw new Problem("Nobody has this key.", { status: 401 }); // a header cannot hold it
  }
  return found;
}

const away = () =>
  new Problem("The server does not answer.", {
    hint: "Check your connection. Jobs that it has taken go on.",
    retryable: true,
  });

/** What an answer says went wrong; proxies answer in their own way. */
export function problem(status, body, after = null) {
  let wrong = null;
  try {
    wrong = JSON.parse(body).error;
  } catch {
    // not of the gateway
  }
  const passing = [429, 502, 503, 504].includes(status);
  if (!wrong?.message) {
    return new Problem(`The server answered with the status ${status}.`, { status, retryable: passing });
  }
  const seconds = after === null ? null : Number(after) || null;
  return new Problem(wrong.message, { hint: wrong.hint, status, retryable: passing || wrong.retryable, after: seconds });
}

/** Ask for something; gives the answer. */
export async function ask(path, { method = "GET", more, signal } = {}) {
  const how = { method, headers: headers(more), signal, cache: "no-store", credentials: "omit" };
  let answer;
  try {
    answer = await fetch(address(path), how);
  } catch (error) {
    throw signal?.aborted ? error : away();
  }
  if (!answer.ok) throw problem(answer.status, await answer.text(), answer.headers.get("Retry-After"));
  return answer;
}

export const json = async (path, how) => (await ask(path, how)).json();

/** Send a form, telling how much of it has been sent, as `fetch` cannot. Sending it twice with one name is one job. */
export function send(path, form, name, { signal, sent }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address(path));
    for (const [header, value] of headers({ "Idempotency-Key": name })) request.setRequestHeader(header, value);
    request.upload.onprogress = (event) => event.lengthComputable && sent(event.loaded / event.total);
    request.onerror = () => reject(away());
    request.onabort = () => reject(signal.reason);
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) return resolve(JSON.parse(request.responseText));
      reject(problem(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    };
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}
