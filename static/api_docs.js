// Shows the API schema with Swagger UI. Calls from the page carry the CSRF token that a session needs.
"use strict";

const place = document.getElementById("api-docs");

function cookie(name) {
  const found = document.cookie.split("; ").find((pair) => pair.startsWith(name + "="));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
}

window.SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  presets: [window.SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  validatorUrl: null, // it would call another site's server
  requestInterceptor(request) {
    if (request.method && request.method.toUpperCase() !== "GET") {
      request.headers["X-CSRFToken"] = cookie(place.dataset.csrfCookie);
    }
    return request;
  },
});
