/**
 * Offhook's service worker: shows who calls while no page is looked at, and brings the page when the person clicks. A worker of an
 * application takes it in with `importScripts('https://calls.example.com/offhook-sw.js')`.
 */
(() => {
  const windows = () => clients.matchAll({ type: 'window', includeUncontrolled: true });
  const show = (title, message) =>
    registration.showNotification(title, {
      tag: message.call_id, data: message, requireInteraction: message.type === 'incoming_call', body: 'Click to open', icon: 'icon.svg',
    });

  async function pushed(message) {
    if (message?.v !== 1 || !message.call_id) return;
    const pages = await windows();
    const isSeen = pages.some((page) => page.visibilityState === 'visible');
    // The page starts its client, which is rung as always.
    for (const page of pages) page.postMessage({ visible: page.visibilityState === 'visible', data: message });
    if (message.type === 'incoming_call' && !isSeen) await show(`${message.from} calls`, message);
    if (message.type !== 'call_ended') return;
    const [shown] = await registration.getNotifications({ tag: message.call_id });
    shown?.close();
    const isMissed = ['canceled', 'no_answer', 'timeout'].includes(message.end_cause);
    if (shown && isMissed) await show(`${shown.data.from} called`, { ...message, from: shown.data.from });
  }

  async function clicked(notification) {
    notification.close();
    const [page] = (await windows()).filter(({ url }) => url.startsWith(registration.scope));
    const opened = page ? await page.focus().catch(() => page) : await clients.openWindow(registration.scope);
    opened?.postMessage({ visible: true, data: notification.data });
  }

  addEventListener('push', (event) => {
    let message;
    try {
      message = event.data?.json();
    } catch {
      // Not one of ours.
    }
    event.waitUntil(pushed(message));
  });
  addEventListener('notificationclick', (event) => {
    if (event.notification.data?.v === 1) event.waitUntil(clicked(event.notification));
  });
  addEventListener('install', () => skipWaiting());
})();
