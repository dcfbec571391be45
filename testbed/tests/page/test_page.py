"""The demonstration's live page in headless Chromium, with real proxies behind it.

EVENKEEL_PAGE is its address. `cargo xtask test` starts everything and sets it.
"""

import os
import shutil
import tempfile
import unittest

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

PAGE = os.environ["EVENKEEL_PAGE"]
HOSTS = 8
# The longest that anything on the page may take to be seen.
PATIENCE_S = 40
# Chromium is to speak to nobody but the page; root has no sandbox of its own.
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def browser(profile):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in [*ARGUMENTS, f"--user-data-dir={profile}", "--window-size=1240,1020"]:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        profile = tempfile.TemporaryDirectory()
        cls.addClassCleanup(profile.cleanup)
        cls.browser = browser(profile.name)
        cls.addClassCleanup(cls.browser.quit)

    def setUp(self):
        self.browser.get(PAGE)
        self.until(lambda: len(self.all("#hosts .host")) == HOSTS, "the hosts are not drawn")

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector).text

    def until(self, condition, message, patience_s=PATIENCE_S):
        # The page replaces parts of itself several times a second.
        wait = WebDriverWait(self.browser, patience_s, ignored_exceptions=[StaleElementReferenceException])
        return wait.until(lambda _: condition(), message)

    def complaints(self):
        """What the page's scripts and requests wrote on the console since the last call."""
        return [entry["message"] for entry in self.browser.get_log("browser") if entry["level"] == "SEVERE"]

    def host(self, index):
        return self.all("#hosts .host")[index]

    def press(self, index, label):
        host = self.host(index)
        [button] = [button for button in host.find_elements(By.TAG_NAME, "button") if button.text == label]
        button.click()

    def state(self, index):
        return self.host(index).find_element(By.CLASS_NAME, "state").text

    def requests(self, index):
        """Requests at both twins of a host."""
        return [int(count.text) for count in self.host(index).find_elements(By.CSS_SELECTOR, ".bar span")]

    def answered(self):
        """Requests that each side has answered."""
        words = self.text("#about").split("Answered: ")[1].split(";")[0]
        return [int(count) for count in words.split(" and ")]

    def test_both_sides_answer_and_are_compared(self):
        self.assertEqual(self.text("#left-name"), "NGINX least_conn")
        self.assertEqual(self.text("#right-name"), "NGINX with Evenkeel")
        self.until(lambda: all(count > 100 for count in self.answered()), "hardly anything is answered")
        values = lambda: [float(value.text.removesuffix(" s")) for value in self.all("#figures b")]
        self.until(lambda: "–" not in self.text("#figures"), "a figure is missing")
        figures = values()
        self.assertEqual(len(figures), 6, "three figures of two sides")
        self.assertTrue(all(0 < value < 200 for value in figures), figures)
        verdicts = lambda: [ratio.text for ratio in self.all("#figures .ratio")]
        # It takes 24 stretches of 15 s of service time to say that there is no difference.
        said = lambda: all("%" in verdict or verdict == "no clear difference" for verdict in verdicts())
        self.until(said, "it never says what it found", 6 * PATIENCE_S)
        told = [ratio.get_attribute("title") for ratio in self.all("#figures .ratio")]
        self.assertTrue(all("%" in why or "chance" in why for why in told), told)
        curves = lambda chart: [curve.get_attribute("points") for curve in self.all(f"#{chart} polyline")]
        for chart, count in [("distribution", 2), ("history", 2), ("demand", 1)]:
            drawn = self.until(lambda chart=chart: curves(chart), f"{chart} has no curve")
            self.assertEqual(len(drawn), count, chart)
            self.assertFalse(any("NaN" in points for points in drawn), chart)
        self.assertEqual(self.complaints(), [])

    def test_demand_is_foreseen_before_it_comes(self):
        bounds = lambda: self.all("#demand polygon")[0].get_attribute("points").split()
        self.until(lambda: self.all("#demand polygon") and len(bounds()) > 4, "nothing is foreseen")
        furthest = lambda points: max(float(point.split(",")[0]) for point in points)
        [came] = self.all("#demand polyline")
        self.assertGreater(furthest(bounds()), furthest(came.get_attribute("points").split()))

    def test_a_host_is_slowed_and_relieved(self):
        # Its antagonist may slow it besides, never relieve it.
        self.until(lambda: self.state(0) == "", "the host never runs at its speed")
        self.press(0, "slow")
        self.until(lambda: self.state(0).endswith("× slower") and float(self.state(0).split("×")[0]) >= 4, "not slowed")
        self.press(0, "relieve")
        self.until(lambda: self.state(0) == "", "not relieved")
        self.assertEqual(self.complaints(), [])

    def test_a_killed_host_loses_its_requests_and_the_others_go_on(self):
        self.press(2, "kill")
        self.until(lambda: self.state(2) == "down" and self.requests(2) == [0, 0], "not killed")
        before = self.answered()
        self.until(lambda: all(now > then + 100 for now, then in zip(self.answered(), before)), "a side stands still")
        self.assertEqual(self.requests(2), [0, 0])
        self.press(2, "restart")
        self.until(lambda: self.state(2) != "down", "not restarted")
        self.until(lambda: self.requests(2)[1] > 0, "Evenkeel does not come back to it")
        self.assertEqual(self.complaints(), [])

    def test_it_fits_a_telephone(self):
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 840, "deviceScaleFactor": 2, "mobile": True}
        )
        try:
            width = self.browser.execute_script("return document.documentElement.scrollWidth")
            self.assertLessEqual(width, 390)
        finally:
            self.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def test_it_says_when_the_demonstration_has_ended_and_when_it_is_back(self):
        lost = self.browser.find_element(By.ID, "lost")
        self.assertFalse(lost.is_displayed())
        conditions = {"latency": 0, "download_throughput": 1_000_000, "upload_throughput": 1_000_000}
        self.browser.set_network_conditions(offline=True, **conditions)
        try:
            self.until(lost.is_displayed, "nothing is said")
        finally:
            self.browser.delete_network_conditions()
        self.until(lambda: not lost.is_displayed(), "it is still said to have ended")
        # Requests that failed meanwhile are on the console.
        self.complaints()


if __name__ == "__main__":
    unittest.main()
