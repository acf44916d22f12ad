// Says when the site has been written anew, and reloads the page if asked to. A script is all that a page of a file may load.
"use strict";

const SECONDS = 5;
const told = document.getElementById("fresh");
const seen = document.documentElement.dataset.stamp;

function reload() {
  location.reload();
}

function look() {
  const script = document.createElement("script");
  script.src = `stamp.js?${Date.now()}`;
  script.onload = () => {
    script.remove();
    if (window.stamp === seen || told.firstChild) return;
    if (sessionStorage.getItem("by-itself")) return reload();
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Show them";
    button.addEventListener("click", reload);
    const always = document.createElement("button");
    always.type = "button";
    always.textContent = "Show them, and later ones by themselves";
    always.addEventListener("click", () => {
      sessionStorage.setItem("by-itself", "yes");
      reload();
    });
    told.append("There are newer results. ", button, " ", always);
  };
  script.onerror = () => script.remove();
  document.head.append(script);
}

look();
setInterval(look, 1000 * SECONDS);
