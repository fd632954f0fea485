"use strict";
const line = document.getElementById("repro");
const button = document.getElementById("copy");
if (line && button) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const range = document.createRange();
    range.selectNodeContents(line);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    // A page from a disk may have no clipboard of its own: what is selected can be copied anyway.
    document.execCommand("copy");
    button.textContent = "copied";
  });
}
document.documentElement.dataset.ready = "1";
