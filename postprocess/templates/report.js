"use strict";
// The plates are a list; with a slider, one of them is shown.
const slider = document.getElementById("round");
if (slider) {
  const plates = document.querySelectorAll("#plates figure");
  const caption = document.getElementById("shown");
  const show = () => {
    plates.forEach((plate, index) => { plate.hidden = index !== Number(slider.value); });
    caption.textContent = plates[slider.value].querySelector("figcaption").textContent;
  };
  slider.addEventListener("input", show);
  document.getElementById("plates").classList.add("sliding");
  show();
}
