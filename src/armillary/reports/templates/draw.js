"use strict";
(() => {
  const narrow = window.matchMedia("(max-width: 640px)");
  const touch = window.matchMedia("(pointer: coarse)");
  const plainText = (markup) => new DOMParser().parseFromString(markup, "text/html").body.textContent;

  // A chart that takes every drag for a zoom traps the finger that wants to scroll the page.
  const common = () => ({
    "font.size": narrow.matches ? 11 : 13,
    "dragmode": narrow.matches || touch.matches ? false : "zoom",
    "margin.l": narrow.matches ? 40 : 56,
  });
  const valueAt = (layout, path) => path.split(".").reduce((part, key) => (part ?? {})[key], layout);
  const setAt = (layout, path, value) => {
    const keys = path.split(".");
    const last = keys.pop();
    keys.reduce((part, key) => (part[key] ??= {}), layout)[last] = value;
  };

  // A figure may bring changes of its own for phones in `meta.narrow`; `wide` keeps what they replace.
  const fitting = (spec) => {
    const phone = (spec.layout.meta ?? {}).narrow ?? {};
    const wide = {};
    Object.keys(phone).forEach((path) => { wide[path] = valueAt(spec.layout, path) ?? null; });
    return () => ({ ...common(), ...(narrow.matches ? phone : wide) });
  };

  // The legend is part of the page: it wraps like text on a phone, and its entries are real buttons.
  const sample = (trace) => {
    const shape = document.createElement("span");
    const marker = trace.marker ?? {};
    const line = trace.line ?? {};
    const lined = trace.type !== "bar" && (trace.mode ?? "").includes("lines") && !trace.fill;
    shape.className = lined ? "sample line" : `sample ${trace.type === "bar" || trace.fill ? "square" : marker.symbol ?? "circle"}`;
    if (lined) {
      shape.style.borderTopStyle = { dash: "dashed", dot: "dotted" }[line.dash] ?? "solid";
    }
    shape.style.color = (lined ? line.color : marker.color ?? line.color) ?? "inherit";
    shape.setAttribute("aria-hidden", "true");
    return shape;
  };
  const together = (data, index) => {
    const group = data[index].legendgroup;
    return data.map((trace, i) => i).filter((i) => i === index || (group && data[i].legendgroup === group));
  };
  const entry = (holder, data, index) => {
    const isReference = (data[index].x ?? []).length === 1 && data[index].x[0] === null;
    const item = document.createElement(isReference ? "span" : "button");
    item.append(sample(data[index]), plainText(data[index].name));
    if (!isReference) {
      item.type = "button";
      item.title = "Show or hide";
      item.setAttribute("aria-pressed", "true");
      item.addEventListener("click", () => {
        const shown = item.getAttribute("aria-pressed") !== "true";
        item.setAttribute("aria-pressed", String(shown));
        window.Plotly.restyle(holder, { visible: shown }, together(data, index));
      });
    }
    return item;
  };
  const addLegend = (holder, spec) => {
    const named = spec.data.map((trace, i) => i).filter((i) => spec.data[i].name && spec.data[i].showlegend !== false);
    if (spec.layout.meta.legend === "none" || named.length === 0) {
      return;
    }
    const order = spec.layout.meta.legend === "reversed" ? named.reverse() : named;
    const list = document.createElement("div");
    list.className = "keys";
    list.append(...order.map((i) => entry(holder, spec.data, i)));
    holder.before(list);
  };

  // A picture leaves the page, so it takes title and legend along.
  const save = (holder) => {
    const title = holder.closest("figure").querySelector("h3").textContent;
    const layout = {
      ...holder.layout,
      title: { text: title.replace(/[<>&]/g, ""), x: 0.02, font: { size: 18 } },
      showlegend: holder.layout.meta.legend !== "none",
      margin: { ...holder.layout.margin, t: 110 },
    };
    const size = { width: 1200, height: Math.max(600, holder.clientHeight + 80) };
    return window.Plotly.downloadImage(
      { data: holder.data, layout }, { ...size, format: "png", scale: 2, filename: holder.dataset.file });
  };
  const config = () => ({
    responsive: true,
    displaylogo: false,
    showSendToCloud: false,
    displayModeBar: narrow.matches || touch.matches ? false : "hover",
    modeBarButtons: [[
      { name: "save", title: "Save as a picture", icon: window.Plotly.Icons.camera, click: save },
      "resetScale2d",
    ]],
  });

  // The library and the figures are compressed: a page that goes out by e-mail should be small.
  const unpacked = (id) => {
    const bytes = Uint8Array.from(window.atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const run = (source) => {
    const script = document.createElement("script");
    script.textContent = source;
    document.body.append(script);
  };

  const draw = (holder, spec) => {
    holder.fitting = fitting(spec);
    Object.entries(holder.fitting()).forEach(([path, value]) => setAt(spec.layout, path, value));
    addLegend(holder, spec);
    return window.Plotly.newPlot(holder, spec.data, spec.layout, config())
      .then(() => { holder.dataset.drawn = "yes"; });
  };

  // A fading edge tells that a table goes on there.
  const fade = (box) => {
    box.classList.toggle("more-right", box.scrollLeft + box.clientWidth < box.scrollWidth - 4);
    box.classList.toggle("more-below", box.scrollTop + box.clientHeight < box.scrollHeight - 4);
  };
  document.querySelectorAll(".scroll").forEach((box) => {
    box.addEventListener("scroll", () => fade(box), { passive: true });
    new ResizeObserver(() => fade(box)).observe(box);
  });

  const holders = Array.from(document.querySelectorAll(".plot"));
  const drawAll = async () => {
    const [library, figures] = await Promise.all([unpacked("packed-plotly"), unpacked("packed-specs")]);
    run(library);
    const specs = JSON.parse(figures);
    for (const holder of holders) {
      await draw(holder, specs[holder.dataset.file]);
    }
    document.body.dataset.ready = "yes";
    narrow.addEventListener("change", () => {
      holders.forEach((holder) => window.Plotly.relayout(holder, holder.fitting()));
    });
  };
  if ("DecompressionStream" in window) {
    drawAll();
  } else {
    document.getElementById("undrawn").hidden = false;
  }
})();
