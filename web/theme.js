// theme: the person's choice of light or dark, before anything is drawn; without one the system's counts.
{
	const chosen = localStorage.getItem('theme');

	if (chosen === 'light' || chosen === 'dark')
		document.documentElement.dataset.theme = chosen;
}
