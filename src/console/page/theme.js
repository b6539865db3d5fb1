const KEY = 'postcommit-theme';
const THEMES = ['system', 'dark', 'light'];

/** @param {HTMLElement} button */
export function followTheme(button) {
  let theme = localStorage.getItem(KEY) ?? 'system';
  const apply = () => {
    if (theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  button.addEventListener('click', () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? 'system';
    localStorage.setItem(KEY, theme);
    apply();
  });
  apply();
}
