import { render } from 'preact';
import { App } from './app.jsx';
import { loadSession, session } from './lib/api.js';
import { startLive } from './lib/live.js';
import './lib/theme.js';

const RETRY = 2000;

// Until the server has said who is signed in there is nothing to show; when it does not answer, it is asked again.
function begin() {
  loadSession().catch((error) => {
    session.set({ sub: null, may: [], roles: [], error });
    setTimeout(begin, RETRY);
  });
}

begin();
addEventListener('DOMContentLoaded', () => {
  render(<App />, document.getElementById('app'));
  startLive();
});
