/** The page: all that it shows is added by its scripts, as text. */
export const PAGE_HTML = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <meta name="robots" content="noindex">
    <title>metroplex</title>
    <link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect \
width='16' height='16' rx='4' fill='%230f766e'/%3E%3Cpath d='M3 12V5l5 4 5-4v7' fill='none' stroke='%23fff' \
stroke-width='2'/%3E%3C/svg%3E">
    <link rel="stylesheet" href="page.css">
    <script type="module" src="main.mjs"></script>
  </head>
  <body>
    <header>
      <div id="place"><a id="brand" href="#/servers">metroplex</a></div>
      <form id="search" role="search">
        <input id="q" type="search" placeholder="Find a spark, user or group" aria-label="Find a spark, user or group"
          autocomplete="off" autocapitalize="off" spellcheck="false" maxlength="1024" aria-keyshortcuts="/">
        <kbd aria-hidden="true">/</kbd>
      </form>
      <nav id="nav" aria-label="Views"></nav>
    </header>
    <div id="banner" role="alert" hidden></div>
    <main id="view" tabindex="-1"><p class="dim">Loading…</p></main>
    <dialog id="dialog" aria-labelledby="question"></dialog>
    <noscript><p class="bad">This page needs JavaScript. The command metroplex does not.</p></noscript>
  </body>
</html>
`
