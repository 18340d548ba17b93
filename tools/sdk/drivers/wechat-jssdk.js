'use strict';

const { Wechat } = require('wechat-jssdk');
const { host, appid, secret, about, run } = require('./steps');

const wechat = new Wechat({
  appId: appid,
  appSecret: secret,
  apiUrl: `https://${host}`,
  accessTokenUrl: `https://${host}/cgi-bin/token`,
  ticketUrl: `https://${host}/cgi-bin/ticket/getticket`,
});

run({
  token: async () => about((await wechat.jssdk.prepareGlobalToken()).accessToken),
  ticket: async () => about((await wechat.jssdk.prepareGlobalToken()).jsapi_ticket),
  sign: ({ url }) => wechat.jssdk.getSignature(url, true),
  // The ticket anew with the token that it has.
  renewTicket: async () => {
    const { accessToken } = await wechat.jssdk.prepareGlobalToken();
    return about((await wechat.jssdk.getJsApiTicket(accessToken)).ticket);
  },
  // A page's user: by the code, and again with the token renewed.
  oauth: async ({ code }) => {
    const user = await wechat.oauth.getUserInfo(code, 'somebody');
    const first = await wechat.oauth.getAccessToken(null, 'somebody');
    const renewed = await wechat.oauth.refreshAccessToken('somebody', first);
    const again = await wechat.oauth.getUserInfoRemotely(renewed);
    about(renewed.access_token);
    about(renewed.refresh_token);
    return { openid: user.openid, nickname: user.nickname, again: again.openid };
  },
});
