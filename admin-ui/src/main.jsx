import { render } from 'preact';

addEventListener('DOMContentLoaded', () => render(<h1>Sluice</h1>, document.getElementById('app')));
