'use strict';

const { OfficialAccount } = require('node-easywechat');
const { host, appid, secret, about, run } = require('./steps');

const app = new OfficialAccount({
  app_id: appid,
  secret,
  use_stable_access_token: true,
  http: { baseURL: `https://${host}/` },
});
const client = app.getClient();

// WeChat's errors are left to the caller by this SDK.
async function answerOf(request) {
  const answer = (await request).toObject();
  if (answer.errcode) {
    throw answer;
  }
  return answer;
}

run({
  token: async () => about(await app.getAccessToken().getToken()),
  force: async () => about(await app.getAccessToken().getStableAccessToken(true)),
  ticket: async () => about(await app.getTicket().getTicket()),
  sign: ({ url }) => app.getUtils().buildJsSdkConfig(url, ['chooseImage']),
  template: async ({ openid, template, url, data }) => {
    const message = { touser: openid, template_id: template, url, data };
    const sent = await answerOf(client.postJson('/cgi-bin/message/template/send', message));
    return sent.msgid.toString(); // rounded: this SDK reads it as a number
  },
  download: async ({ media, file }) => {
    const answer = await client.get('/cgi-bin/media/get', { params: { media_id: media }, responseType: 'arraybuffer' });
    answer.saveAs(file);
  },
  upload: async ({ file }) => {
    const request = client.withFile(file, 'media').post('/cgi-bin/media/upload', { params: { type: 'image' } });
    return (await answerOf(request)).media_id;
  },
  message: ({ openid, text }) =>
    answerOf(client.postJson('/cgi-bin/message/custom/send', { touser: openid, msgtype: 'text', text: { content: text } })),
  user: ({ openid }) => answerOf(client.get('/cgi-bin/user/info', { params: { openid } })),
});
