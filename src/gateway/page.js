(() => {
  // What a link held has done its work: it goes out of the address bar and the history.
  history.replaceState(null, '', location.pathname);
  const { status, flowId, integrationId, connectionId, error, oauthError, origins } =
    document.getElementById('result').dataset;
  const targets = origins.split(' ').filter(Boolean);
  if (!window.opener || targets.length === 0) return;
  const message = { type: 'tokenwell', status, flowId, integrationId, connectionId, error, oauthError };
  // Only the named origins get it; for any other opener the browser drops it.
  for (const origin of targets) window.opener.postMessage(message, origin);
  setTimeout(() => window.close(), 1500);
})();
