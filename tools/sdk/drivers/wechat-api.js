'use strict';

const fs = require('node:fs/promises');
const { promisify } = require('node:util');
const API = require('wechat-api');
const { host, appid, secret, about, run } = require('./steps');

const api = new API(appid, secret);
api.setEndpoint(host);

const call = (method, ...args) => promisify(api[method]).apply(api, args);

run({
  token: async () => about((await call('getLatestToken')).accessToken),
  ticket: async () => about((await call('getLatestTicket')).ticket),
  sign: ({ url }) => call('getJsConfig', { url, debug: false, jsApiList: ['chooseImage'] }),
  template: async ({ openid, template, url, data }) => {
    const sent = await call('sendTemplate', openid, template, url, data);
    return sent.msgid.toString(); // rounded: this SDK reads it as a number
  },
  download: async ({ media, file }) => fs.writeFile(file, await call('getMedia', media)),
  upload: async ({ file }) => (await call('uploadMedia', file, 'image')).media_id,
  message: ({ openid, text }) => call('sendText', openid, text),
  user: ({ openid }) => call('getUser', openid),
});
