'use strict';

const fs = require('node:fs/promises');
const API = require('co-wechat-api');
const { host, appid, secret, about, run } = require('./steps');

const api = new API(appid, secret);
api.prefix = `https://${host}/cgi-bin/`;

run({
  token: async () => about((await api.ensureAccessToken()).accessToken),
  ticket: async () => about((await api.ensureTicket('jsapi')).ticket),
  sign: ({ url }) => api.getJsConfig({ url, debug: false, jsApiList: ['chooseImage'] }),
  template: async ({ openid, template, url, data }) => {
    const sent = await api.sendTemplate(openid, template, url, '#173177', data);
    return sent.msgid.toString();
  },
  download: async ({ media, file }) => fs.writeFile(file, await api.getMedia(media)),
  upload: async ({ file }) => (await api.uploadImageMedia(file)).media_id,
  message: ({ openid, text }) => api.sendText(openid, text),
  user: ({ openid }) => api.getUser(openid),
});
