// "Send again and compare": asks the host once more and shows the difference, line by line, as text.
"use strict";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-again]");
  if (!button) return;
  const place = document.getElementById(`again-${button.dataset.again}`);
  const say = (text, kind = "") => {
    const line = document.createElement("div");
    line.className = `line ${kind}`;
    const sign = document.createElement("span");
    sign.className = "sign";
    sign.textContent = kind === "added" ? "+" : kind === "removed" ? "-" : "";
    const code = document.createElement("code");
    code.textContent = text;
    line.append(sign, code);
    place.append(line);
  };
  place.replaceChildren();
  place.hidden = false;
  button.disabled = true;
  say("sent; waiting for the answer");
  try {
    const headers = { "content-type": "application/json", ...JSON.parse(document.body.getAttribute("hx-headers")) };
    const answer = await fetch("/api/replay", { method: "POST", headers, body: JSON.stringify({ id: button.dataset.again }) });
    const told = await answer.json();
    place.replaceChildren();
    if (!told.now) say(told.error);
    else if (told.same) say(`the same answer, status ${told.now.status}`);
    else {
      say(`status ${told.recorded.status} then, ${told.now.status} now`);
      if (told.error) say(told.error);
      for (const line of told.difference) {
        say(line.slice(1), line[0] === "+" ? "added" : line[0] === "-" ? "removed" : "");
      }
    }
    if (told.id) {
      const link = document.createElement("a");
      link.href = `/requests/${encodeURIComponent(told.id)}`;
      link.textContent = "the new request";
      place.append(link);
    }
  } catch (error) {
    place.replaceChildren();
    say("no answer from the program");
  } finally {
    button.disabled = false;
  }
});
